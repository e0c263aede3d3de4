package config

import (
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// FuzzParse: a configuration is an error, or means the same when it is read again, with comments and with the line ends
// of other systems; it has every built-in vendor and engine, and what it allows is valid.
func FuzzParse(f *testing.F) {
	f.Add(reference(f))
	for _, seed := range []string{
		"", "[requests]\nsources = ['env']\n", "[[vendor]]\nname = 'acme'\nkind = 'acme.com/npu'\nenv = 'ACME'\n",
		"[engines.cri-o]\nsources = []\nnamespaces = { team = ['env'] }\n", "[cdi]\noptional = ['a.b/c: /x/**']\n",
		"x = 1\n", "[a.b]\n'c d' = 1 # x\n", "\ufeff", "[record]\ndir = \"\"\"\nx\"\"\"\n", "timeout = '1s'\n# x\ry = 1\n",
		"[[vendor]]\nname = 'nvidia'\ndrivers = []\n[[vendor]]\nname = 'nvidia'\n", "[engines.x]\nown = ['y']\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(text, trust.Self{})
		if err != nil {
			return
		}
		if err := c.validate(); err != nil {
			t.Errorf("it is not valid: %v", err)
		}
		for _, v := range Defaults().Vendors {
			if c.Vendor(v.Name) == nil {
				t.Errorf("vendor %s is gone", v.Name)
			}
		}
		for name := range Defaults().Engines {
			if c.Engines[name] == nil {
				t.Errorf("engine %s is gone", name)
			}
		}
		for name, e := range c.Engines {
			for _, source := range e.Sources {
				if !slices.Contains(Sources(), source) {
					t.Errorf("engine %s has source %q", name, source)
				}
			}
		}
		for _, other := range []string{text + "\n# x\n", "# x\n" + text} {
			if text != "" && text[0] >= utf8.RuneSelf { // a mark of its encoding, which must come first
				break
			}
			if again, err := parse(other, trust.Self{}); err != nil || !cmp.Equal(c, again) {
				t.Errorf("with a comment it is other: %v %s", err, cmp.Diff(c, again))
			}
		}
	})
}
