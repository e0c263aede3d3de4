package devices

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Specs of 14 KB (8 GPUs) and 325 KB (60 GPUs in 15 parts each), as nvidia-ctk writes them, and the same as JSON.
func BenchmarkParseSpec(b *testing.B) {
	small, large := generatedSpec(8, 0, 40), generatedSpec(60, 15, 40)
	for _, spec := range []struct{ name, text string }{
		{"14KB", small},
		{"325KB", large},
		{"14KB as JSON", string(asJSON(b, small)["compact JSON"])},
		{"325KB as JSON", string(asJSON(b, large)["compact JSON"])},
	} {
		b.Run(spec.name, func(b *testing.B) {
			b.SetBytes(int64(len(spec.text)))
			for b.Loop() {
				if _, err := parseSpec(spec.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A Spec of 14 KB, alone and beside 20 Specs of that size for other kinds: in the order of today's nvidia-ctk, in that
// of the ones before, which have the kind last, and in a style that is not plain.
func BenchmarkOpen(b *testing.B) {
	text := generatedSpec(8, 0, 40)
	const kind = "kind: nvidia.com/gpu\n"
	last := strings.Replace(text, kind, "", 1) + kind
	for _, others := range []struct{ name, text string }{
		{"alone", ""},
		{"kind first", text},
		{"kind last", last},
		{"not plain", strings.Replace(text, "---", "--- # all", 1)},
	} {
		b.Run(others.name, func(b *testing.B) {
			dir := b.TempDir()
			writeFile(b, filepath.Join(dir, "nvidia.yaml"), text)
			for i := range 20 {
				if others.text != "" {
					other := strings.Replace(others.text, kind, fmt.Sprintf("kind: vendor%d.com/gpu\n", i), 1)
					writeFile(b, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), other)
				}
			}
			for b.Loop() {
				if _, err := Open([]string{dir}, us()).Resolve([]string{"nvidia.com/gpu=0"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// "all" of a Spec of 512 devices under two names each.
func BenchmarkEvery(b *testing.B) {
	text := generatedSpec(512, 0, 0)
	s, err := parseSpec(text)
	if err != nil {
		b.Fatal(err)
	}
	r := &Registry{devices: map[string]*device{}}
	r.add(s)
	for b.Loop() {
		if names := r.Every("nvidia.com/gpu"); len(names) != 512 {
			b.Fatal(len(names))
		}
	}
}

func writeFile(b *testing.B, path, text string) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}
