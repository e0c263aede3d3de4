package holder

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Device nodes of every type, with and without the optional fields of the Spec.
func TestNodeTypes(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	for name, mode := range map[string]uint32{"disk": unix.S_IFBLK | 0o640, "pipe": unix.S_IFIFO | 0o604} {
		path := c.host.Path("dev/" + name)
		err := errors.Join(unix.Mknod(path, mode, int(unix.Mkdev(7, 3))), os.Chmod(path, os.FileMode(mode&0o777)))
		if err != nil {
			t.Fatal(err)
		}
	}
	c.spec(`
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - {path: /dev/disk, hostPath: HOST/dev/disk}
    - {path: /dev/pipe, hostPath: HOST/dev/pipe}
    - {path: /dev/all, hostPath: HOST/dev/nvidia0, type: u, major: 1, minor: 11, permissions: rwm, ` +
		`fileMode: 8576, uid: 3}
    - {path: /dev/none, hostPath: HOST/dev/disk, type: b, permissions: none, fileMode: 0, gid: 4}
`)
	r := c.start().run()
	r.applied(t)
	for path, want := range map[string]string{
		"/dev/disk": "060640 7:3 uid=0 gid=0", "/dev/pipe": "010604 0:0 uid=0 gid=0",
		"/dev/all": "020600 1:11 uid=3 gid=0", "/dev/none": "060000 7:3 uid=0 gid=4",
	} {
		if got := c.sees(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	var rules []string
	for _, d := range r.report.Edits.DeviceNodes {
		rules = append(rules, d.Type+":"+d.Permissions)
	}
	if got := strings.Join(rules, " "); got != "b:rw p: c:rwm b:" {
		t.Errorf("rules: %s", got)
	}
}

// Of a Spec of an unknown version, with unknown fields, what is understood is given. A warning names the rest.
func TestSpecOfTheFuture(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(`
cdiVersion: "2.0.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - {path: /dev/nvidia0, hostPath: HOST/dev/nvidia0, colour: green}
    powers: [unlimited]
`)
	r := c.start().run()
	r.applied(t)
	if got := c.sees("/dev/nvidia0"); got != node {
		t.Errorf("node: %s", got)
	}
	w := r.report.Warnings[0]
	for _, part := range []string{
		"nvidia.yaml", `"2.0.0"`, "devices[0].containerEdits.deviceNodes[0].colour (line 8)",
		"devices[0].containerEdits.powers (line 9)",
	} {
		if w.Code != "W-SPEC" || !strings.Contains(w.Message, part) {
			t.Errorf("no %q in %+v", part, w)
		}
	}
}
