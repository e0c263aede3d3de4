package devices

import (
	"bytes"
	"fmt"
	"testing"
)

// Specs of 14 KB (8 GPUs) and 325 KB (64 GPUs in 7 parts, each with two names).
func BenchmarkParseSpec(b *testing.B) {
	for name, text := range map[string]string{"14KB": generatedSpec(8, 0, 40), "325KB": generatedSpec(60, 15, 40)} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := parseSpec(bytes.NewReader([]byte(text))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
