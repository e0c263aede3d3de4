package devices

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// described is a device node with its rule, as config.json would have them.
type described struct {
	Path, Type   string
	Major, Minor int64
	Mode         os.FileMode
	UID, GID     uint32
	Rule         string
}

// byLibrary injects the device with the CDI library.
func byLibrary(t *testing.T, dir, name string, user specs.User) (described, error) {
	t.Helper()
	cache, err := cdi.NewCache(cdi.WithAutoRefresh(false), cdi.WithSpecDirs(dir))
	if err != nil {
		t.Fatal(err)
	}
	spec := &specs.Spec{Process: &specs.Process{User: user}, Linux: &specs.Linux{}}
	if _, err := cache.InjectDevices(spec, name); err != nil {
		return described{}, err
	}
	d := spec.Linux.Devices[0]
	out := described{Path: d.Path, Type: d.Type, Major: d.Major, Minor: d.Minor}
	for _, id := range []struct {
		to   *uint32
		from *uint32
	}{{&out.UID, d.UID}, {&out.GID, d.GID}} {
		if id.from != nil { // nil is root's
			*id.to = *id.from
		}
	}
	if d.FileMode != nil {
		out.Mode = *d.FileMode
	}
	if spec.Linux.Resources != nil {
		for _, r := range spec.Linux.Resources.Devices {
			if *r.Major != d.Major || *r.Minor != d.Minor || r.Type != d.Type || !r.Allow {
				t.Errorf("the library's rule %+v is not of its node %+v", r, d)
			}
			out.Rule = r.Access
		}
	}
	return out, nil
}

func byUs(dir, name string, user specs.User) (described, error) {
	edits, err := Load([]string{dir}, us()).Resolve([]string{name})
	if err == nil {
		_, err = edits.Complete(&specs.Spec{Process: &specs.Process{User: user}}, "", trust.Root(), nil)
	}
	if err != nil {
		return described{}, err
	}
	d := edits.DeviceNodes[0]
	return described{d.Path, d.Type, d.Major, d.Minor, *d.FileMode, *d.UID, *d.GID, d.Permissions}, nil
}

// Device nodes are those that the CDI library makes, except for these intended differences:
//   - the default rule is rw, because a container need not make a node that it has;
//   - what the Spec says must be true of the host's node; the library checks it only if the Spec leaves something open;
//   - a FIFO has no numbers; the library keeps those of the Spec;
//   - type "u" means a character device, as in the CDI specification; the library says that it is not the host's type
//     or, if the Spec has numbers, makes no rule.
func TestNodesAsTheLibraryHasThem(t *testing.T) {
	require.Root(t)
	top := hostTree(t)
	var nodes []string
	for _, host := range []string{"null", "loop7", "fifo", "lib", "none", "nodelink"} {
		for _, kind := range []string{"", "c", "b", "p"} {
			for _, numbers := range []string{"", "major: 1, minor: 3", "major: 7", "minor: 3"} {
				nodes = append(nodes, fmt.Sprintf("hostPath: %s/%s, type: %q, %s", top, host, kind, numbers))
			}
		}
	}
	for _, more := range []string{
		"permissions: r", "permissions: rwm", "permissions: m", "permissions: wr", "permissions: none",
		"fileMode: 0", "fileMode: 438", "fileMode: 0640", "fileMode: 8630", "uid: 0", "uid: 5, gid: 6", "gid: 44",
	} {
		for _, host := range []string{"null", "loop7", "fifo"} {
			nodes = append(nodes, fmt.Sprintf("hostPath: %s/%s, %s", top, host, more))
		}
	}
	compared := 0
	for i, node := range nodes {
		dir := oneNode(t, fmt.Sprintf("path: /dev/x%d, %s", i, strings.TrimSuffix(node, ", ")))
		for _, user := range []specs.User{{}, {UID: 1000, GID: 1001}} {
			theirs, theirErr := byLibrary(t, dir, "acme.com/npu=0", user)
			ours, err := byUs(dir, "acme.com/npu=0", user)
			switch {
			case theirErr != nil && err == nil:
				t.Errorf("%s: the library refuses it (%v), we have %+v", node, theirErr, ours)
			case theirErr == nil && err != nil && !drifted(err):
				t.Errorf("%s: we refuse it (%v), the library has %+v", node, err, theirs)
			case err == nil:
				compared++
				if theirs.Rule == "rwm" && !strings.Contains(node, "permissions") {
					theirs.Rule = "rw"
				}
				if theirs.Type == "p" {
					theirs.Major, theirs.Minor = 0, 0
				}
				if diff := cmp.Diff(theirs, ours); diff != "" {
					t.Errorf("%s, user %d: %s", node, user.UID, diff)
				}
			}
		}
	}
	if compared < 80 {
		t.Errorf("only %d nodes were compared, of %d", compared, len(nodes))
	}
}

// drifted reports whether a node is refused because the host's node differs from the Spec.
func drifted(err error) bool {
	text := err.Error()
	return strings.Contains(text, "missing on this host") || strings.Contains(text, "on this host it is")
}

// oneNode returns a directory with a Spec whose device acme.com/npu=0 has one node, with these fields.
func oneNode(t *testing.T, fields string) string {
	t.Helper()
	const text = "cdiVersion: \"0.5.0\"\nkind: acme.com/npu\ndevices:\n" +
		"- {name: \"0\", containerEdits: {deviceNodes: [{%s}]}}\n"
	return specDirs(t, map[string]string{"a/x.yaml": fmt.Sprintf(text, fields)}) + "/a"
}

// Type "u" means a character device.
func TestTypeU(t *testing.T) {
	require.Root(t)
	top := hostTree(t)
	for _, numbers := range []string{"", ", major: 1, minor: 3"} {
		dir := oneNode(t, fmt.Sprintf("path: /dev/x, hostPath: %s/null, type: u%s", top, numbers))
		got, err := byUs(dir, "acme.com/npu=0", specs.User{})
		if diff := cmp.Diff(described{"/dev/x", "c", 1, 3, 0o640, 0, 0, "rw"}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
}
