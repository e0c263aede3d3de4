package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// What is looked for in every container is bounded, and so is the file.
func TestConfigurationsAreBounded(t *testing.T) {
	list := func(n int, format string) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return strings.Join(out, ", ")
	}
	vendors := strings.ReplaceAll(list(70, "[[vendor]]\nname = \"v%d\"\nkind = \"v%[1]d.com/x\"\n"), ", ", "")
	for name, test := range map[string]struct{ text, want string }{
		"vendors": {vendors, "vendor: 73 are too many (64)"},
		"prefixes": {
			"[cdi]\nannotation-prefixes = [" + list(65, `"p%d.io/"`) + "]",
			"cdi.annotation-prefixes: 65 are too many (64)",
		},
		"variables": {
			"[requests]\npreferred-env = [" + list(65, `"V%d"`) + "]",
			"requests.preferred-env: 65 are too many (64)",
		},
		"a long one": {strings.Repeat("#", limits.Configuration+1), "it is larger than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}
