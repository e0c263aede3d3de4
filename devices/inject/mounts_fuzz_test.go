package inject

import (
	"fmt"
	"strings"
	"testing"
)

// mangled is a text as the kernel writes it into mountinfo.
func mangled(text string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(text)
}

// FuzzMounts: a mount's filesystem and peer group are those that the kernel wrote, whatever the paths are.
func FuzzMounts(f *testing.F) {
	f.Add(24, uint16(8), uint16(1), "/", "/var/lib x", "rw,noatime", 7, "ext4", "/dev/sda1")
	f.Add(1<<31-1, uint16(0), uint16(65535), "/a - b", "/mnt\n1 2 0:3 / / rw - x y z", "ro", 0, "fuse.s x", "")
	f.Add(0, uint16(0), uint16(0), "", "", "", -1, "tmpfs", "a b c")
	f.Fuzz(func(t *testing.T, id int, major, minor uint16, root, dir, options string, group int, kind, source string) {
		text := strings.Join([]string{root, dir, options, kind, source}, "")
		if strings.ContainsAny(text, "\x00\r") || len(text) > 4096 || dir == "" || root == "" || kind == "" ||
			id < 0 || strings.ContainsAny(options+kind, " \t\n\\") || options == "" {
			return
		}
		optional := ""
		if group >= 0 {
			optional = fmt.Sprintf("shared:%d ", group)
		}
		line := fmt.Sprintf("%d 1 %d:%d %s %s %s %s- %s %s rw\n", id, major, minor, mangled(root), mangled(dir), options,
			optional, kind, mangled(source))
		m, err := parseMounts(strings.NewReader("1000000 1 0:1 / / rw - proc proc rw\n" + line))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		want := deviceID{int(major), int(minor)}
		if m.filesystems[id] != want || m.peers[id] != strings.TrimSpace(optional) || !m.has(want) {
			t.Errorf("%q: %v, %q", line, m.filesystems[id], m.peers[id])
		}
	})
}

// FuzzMountsText: any text is read, or is an error.
func FuzzMountsText(f *testing.F) {
	f.Add("24 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n")
	f.Add("24 1 8:1 / \\04 rw - ext4\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseMounts(strings.NewReader(text)); err == nil && m == nil {
			t.Error("neither mounts nor an error")
		}
	})
}
