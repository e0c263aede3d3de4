package facts

import (
	"fmt"
	"strings"
	"testing"
)

// FuzzKernelTexts: a driver that the kernel lists is found whatever else is listed, and one among the block device
// drivers is not taken for one of characters.
func FuzzKernelTexts(f *testing.F) {
	f.Add("Character devices:\n  1 mem\n", "nvidia-uvm", uint16(511))
	f.Add("Block devices:\n259 blkext\n", "nvidia", uint16(195))
	f.Add("Model: \t\t NVIDIA A100\nDevice Minor: \t 0\n", "x", uint16(0))
	f.Fuzz(func(t *testing.T, before, name string, number uint16) {
		for key, value := range colons(before) {
			if strings.TrimSpace(key) != key || strings.TrimSpace(value) != value {
				t.Errorf("%q: %q", key, value)
			}
		}
		if strings.Join(strings.Fields(name), " ") != name || name == "" || strings.Contains(name, " ") {
			return
		}
		line := fmt.Sprintf("%3d %s\n", number, name)
		if before != "" && !strings.HasSuffix(before, "\n") {
			before += "\n"
		}
		got := parseMajors(before + line + "\nBlock devices:\n  7 " + name + "\n")
		block := false
		for l := range strings.Lines(before) {
			fields := strings.Fields(l)
			block = block || len(fields) == 2 && fields[0] == "Block"
		}
		if n, ok := got[name]; !block && (!ok || n != int64(number)) {
			t.Errorf("%s is %d, %v", name, n, ok)
		}
	})
}
