package nearest

import (
	"strings"
	"testing"
)

func TestWord(t *testing.T) {
	words := []string{"explain", "devices", "doctor", "last", "ps", "nvidia.com/gpu", strings.Repeat("x", maxLength+1)}
	for word, want := range map[string]string{
		"explian":                      "explain", // swapped
		"explan":                       "explain", // missing
		"explainn":                     "explain", // doubled
		"EXPLAIN":                      "explain",
		"ecplaim":                      "explain", // two are wrong
		"ecplaum":                      "",        // three are wrong
		"device":                       "devices",
		"lsat":                         "last",
		"lxxt":                         "",
		"sp":                           "ps",
		"p":                            "",
		"":                             "",
		"last":                         "",
		"nvidia.com/gpus":              "nvidia.com/gpu",
		"nvida.com/gpu":                "nvidia.com/gpu",
		"amd.com/gpu":                  "",
		"frobnicate":                   "",
		strings.Repeat("x", maxLength): "",
		strings.Repeat("x", 1<<20):     "",
	} {
		if got := Word(word, words); got != want {
			t.Errorf("%.20q: %q", word, got)
		}
	}
}

func TestKind(t *testing.T) {
	names := []string{"amd.com/gpu=0", "nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gds=all"}
	for kind, want := range map[string]string{
		"nvidia.com/gpus": "nvidia.com/gpu",
		"nvida.com/gpu":   "nvidia.com/gpu",
		"nvida.com/gpus":  "nvidia.com/gpu",
		"Nvidia.com/gpu":  "nvidia.com/gpu",
		"nvidia.com/gdss": "nvidia.com/gds",
		"nvidia.com/pgpu": "",
		"nvidia.com/mig":  "",
		"nvidia.com/gpu":  "",
		"nvidia.com":      "",
		"intel.com/gpu":   "",
		"gpu":             "",
		"/":               "",
		"":                "",
	} {
		if got := Kind(kind, names); got != want {
			t.Errorf("%q: %q", kind, got)
		}
	}
}
