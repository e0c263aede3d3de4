package idmap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: what is read is what the kernel would have written, and every id has one id outside at most.
func FuzzParse(f *testing.F) {
	f.Add("         0          0 4294967295\n", 0)
	f.Add("0 1000 1\n1 100000 65536\n", 65536)
	f.Add("0 4294967295 65536\n", 1)
	f.Add("0 00 +1\n4294967294 1 1", -1)
	f.Fuzz(func(t *testing.T, text string, id int) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, r := range m {
			fmt.Fprintf(&b, "%10d %10d %10d\n", r.Inside, r.Outside, r.Count)
		}
		if again, err := Parse(b.String()); err != nil || !slices.Equal(m, again) {
			t.Errorf("%v is written as %q and read as %v, %v", m, b.String(), again, err)
		}
		if outside, ok := m.Outside(id); ok && (id < 0 || outside < 0 || outside >= unmapped) {
			t.Errorf("id %d is %d outside", id, outside)
		}
		if m.Initial() {
			if outside, ok := m.Outside(id); ok && outside != id {
				t.Errorf("id %d of the initial user namespace is %d", id, outside)
			}
		}
	})
}
