package devices

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// What to do about Specs is a command for the files that are there.
func TestMendSpecs(t *testing.T) {
	const text = "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices:\n" +
		"- name: \"0\"\n  containerEdits:\n    env: [A=b]\n"
	for _, test := range []struct {
		files []string // the oldest first
		hint  string
	}{
		{[]string{"b.yaml", "a.yaml"}, "mv @/b.yaml @/b.yaml.off # or the other one, if this is the one that is generated"},
		{[]string{"a.yaml", "b.yaml"}, "mv @/a.yaml @/a.yaml.off # or the other one, if this is the one that is generated"},
		{[]string{"nvidia.yaml.bak"}, "mv @/nvidia.yaml.bak @/nvidia.yaml"},
		{[]string{"nvidia.json.rpmsave"}, "mv @/nvidia.json.rpmsave @/nvidia.json"},
		{[]string{"nvidia.yml"}, "mv @/nvidia.yml @/nvidia.yaml"},
		{[]string{"nvidia.yaml.off"}, ""},
		{[]string{"nvidia.bak"}, ""},
	} {
		dir := t.TempDir()
		for i, name := range test.files {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			when := time.Now().Add(time.Duration(i-5) * time.Second)
			if err := os.Chtimes(file, when, when); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Load([]string{dir}, trust.Owner{UID: uint32(os.Getuid())}).Resolve([]string{"nvidia.com/gpu=0"})
		if err == nil {
			t.Errorf("%q: no error", test.files)
			continue
		}
		if hint := strings.ReplaceAll(fault.From(err).Hint(), dir, "@"); hint != test.hint {
			t.Errorf("%q: %s", test.files, hint)
		}
	}
}
