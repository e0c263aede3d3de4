package devices

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNatural(t *testing.T) {
	for _, ordered := range []string{
		"0 1 2 10 11 100 GPU-1 all",
		"0 0:0 0:1 0:10 1 1:0",
		"gpu gpu0 gpu1 gpu2 gpu10 gpu10a mig0:2 mig0:10",
		"0000-03-00-0 0000-1a-00-0 0000-c1-00-0",
		"0 00 01 010 1 99999999999999999999 100000000000000000000",
	} {
		want := strings.Fields(ordered)
		got := slices.Clone(want)
		for range 20 {
			rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
			slices.SortFunc(got, Natural)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
	}
	for _, name := range []string{"", "0", "gpu10"} {
		if Natural(name, name) != 0 {
			t.Errorf("%q is not itself", name)
		}
	}
}
