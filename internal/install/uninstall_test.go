package install

import (
	"os"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

const (
	byHand   = " it was changed by hand"
	notOurs  = " it is not as install with these flags and this configuration writes it"
	another  = " it is another than this one; run it to uninstall it"
	conf     = "/etc/containers/containers.conf"
	ownHook  = `{"hook": {"path": "/usr/local/bin/gpu-hook"}}`
	confText = "[engine]\n"
)

// Uninstall removes what Install has written, in an order in which no engine looks for a file that is gone. It leaves
// what others have written or changed.
func TestUninstall(t *testing.T) {
	all := prefixed("removed", dropIn, shared, precreate, ofPodman, binary)
	for name, test := range map[string]struct {
		installed, uninstalled Target
		change                 func(h *host)
		changes                []string
		left                   []string
	}{
		"all of it": {changes: all},
		"a user's": {
			installed: Target{User: ann()}, uninstalled: Target{User: ann()},
			changes: prefixed("removed", userDropIn, userShared, userPrecreate, userBinary),
		},
		"a part is gone already": {
			change: func(h *host) {
				h.check(os.Remove(h.path(shared)))
				h.check(os.Remove(h.path(dropIn)))
			},
			changes: prefixed("removed", precreate, ofPodman, binary),
		},
		"a drop-in that was changed": {
			change: func(h *host) { h.write(dropIn, h.read(dropIn)+"# mine\n") },
			changes: []string{
				"left " + dropIn + byHand, "removed " + shared, "removed " + precreate, "removed " + ofPodman, "removed " + binary,
			},
			left: []string{dropIn},
		},
		"a drop-in for directories that podman no longer has": {
			change: func(h *host) { h.write(conf, "[engine]\nhooks_dir = [\"/new\"]\n") }, changes: all,
		},
		"a definition that was changed runs the binary": {
			change: func(h *host) { h.write(shared, ownHook) },
			changes: []string{
				"removed " + dropIn, "left " + shared + notOurs, "removed " + precreate, "removed " + ofPodman,
				"left " + binary + " " + shared + " runs it",
			},
			left: []string{shared, binary},
		},
		"a definition of somebody else's": {
			change: func(h *host) { h.write(shared, `{"hook": {"path": "/opt/other"}}`) },
			changes: []string{
				"removed " + dropIn, "left " + shared + notOurs, "removed " + precreate, "removed " + ofPodman, "removed " + binary,
			},
			left: []string{shared},
		},
		"podman's precreate definition was changed": {
			change: func(h *host) { h.write(precreate, ownHook) },
			changes: []string{
				"removed " + dropIn, "removed " + shared, "left " + precreate + notOurs, "removed " + ofPodman,
				"left " + binary + " " + precreate + " runs it",
			},
			left: []string{precreate, binary},
		},
		"another binary": {
			change: func(h *host) { h.write(binary, "another program") },
			changes: []string{
				"removed " + dropIn, "removed " + shared, "removed " + precreate, "removed " + ofPodman, "left " + binary + another,
			},
			left: []string{binary},
		},
		"files of others beside ours": {
			change: func(h *host) {
				h.write(PodmanHooks+"/other.json", "")
				h.write(SystemHooks+"/other.json", "")
				h.write("/usr/local/bin/other", "")
			},
			changes: all,
			left:    []string{PodmanHooks + "/other.json", SystemHooks + "/other.json", "/usr/local/bin/other"},
		},
		"a link to the same content, which is not ours": {
			change: func(h *host) {
				h.write("/elsewhere", h.read(shared))
				h.link("/elsewhere", shared)
			},
			changes: all,
			left:    []string{"/elsewhere"},
		},
		"a link to somewhere else": {
			change: func(h *host) {
				h.write("/elsewhere", "precious")
				h.link("/elsewhere", shared)
			},
			changes: []string{
				"removed " + dropIn, "left " + shared + notOurs, "removed " + precreate, "removed " + ofPodman, "removed " + binary,
			},
			left: []string{shared, "/elsewhere"},
		},
		"a definition that names another engine": {
			installed: Target{Engine: "containerd"}, uninstalled: Target{Engine: "cri-o"},
			changes: prefixed("removed", shared, binary),
		},
		"a definition that names an engine": {
			installed: Target{Engine: "cri-o"},
			changes:   prefixed("removed", shared, binary),
		},
		"what podman still runs": {
			uninstalled: Target{Engine: "cri-o"},
			changes:     []string{"removed " + shared, "left " + binary + " " + ofPodman + " runs it"},
			left:        []string{dropIn, precreate, ofPodman, binary},
		},
		"other places": {
			uninstalled: Target{Bin: "/opt/bin", Hooks: "/opt/hooks", Precreate: "/opt/podman"},
			left:        []string{dropIn, shared, precreate, ofPodman, binary},
		},
		"a user's, where the host's is installed": {
			uninstalled: Target{User: ann()},
			left:        []string{dropIn, shared, precreate, ofPodman, binary},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, map[string]string{conf: confText})
			h.install(test.installed, h.options())
			if test.change != nil {
				test.change(h)
			}
			h.same("changes", h.uninstall(test.uninstalled, h.options()), test.changes)
			want := map[string]bool{conf: true}
			for _, path := range test.left {
				want[path] = true
			}
			got := map[string]bool{}
			for _, path := range h.files() {
				got[path] = true
			}
			h.same("files", got, want)
		})
	}
}

// A second Uninstall finds nothing. The directory of podman's own definitions is gone, and one that others use stays.
func TestUninstallAgain(t *testing.T) {
	h := newHost(t, nil)
	h.install(Target{}, h.options())
	h.uninstall(Target{}, h.options())
	h.same("changes", h.uninstall(Target{}, h.options()), []string(nil))
	h.same("files", h.files(), []string(nil))
	if _, err := os.Lstat(h.path("/usr/share/gpu-hook")); !os.IsNotExist(err) {
		t.Errorf("the directory of our own: %v", err)
	}
	if _, err := os.Lstat(h.path(SystemHooks)); err != nil {
		t.Errorf("a directory that others use too: %v", err)
	}
}

// A definition with other flags is left.
func TestUninstallWithOtherFlags(t *testing.T) {
	h := newHost(t, nil)
	o := h.options()
	o.Flags = []string{"--config", "/c"}
	h.install(Target{Engine: "cri-o"}, o)
	h.same("changes", h.uninstall(Target{Engine: "cri-o"}, h.options()),
		[]string{"left " + shared + notOurs, "left " + binary + " " + shared + " runs it"})
	h.same("with those flags", h.uninstall(Target{Engine: "cri-o"}, o), prefixed("removed", shared, binary))
}

// On error Uninstall returns what it has removed until then.
func TestFailedUninstall(t *testing.T) {
	for name, test := range map[string]struct {
		spoil   func(h *host)
		what    string
		changes []string
	}{
		"a directory where the definition belongs": {
			spoil: func(h *host) {
				h.check(os.Remove(h.path(shared)))
				h.check(os.Mkdir(h.path(shared), 0o755))
			},
			what: shared, changes: []string{"removed " + dropIn},
		},
		"no program to compare with": {
			spoil: func(h *host) { h.check(os.Remove(h.program)) },
			what:  binary, changes: prefixed("removed", dropIn, shared, precreate, ofPodman),
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, map[string]string{conf: confText})
			h.install(Target{}, h.options())
			test.spoil(h)
			changes, err := Uninstall(Target{Destdir: h.dir}, h.options())
			e := fault.From(err)
			if e == nil || e.Code() != fault.Install || strings.TrimPrefix(e.What(), h.dir) != test.what {
				t.Errorf("the error is %v", err)
			}
			h.same("changes", h.words(changes), test.changes)
		})
	}
}

// On a host where a package has put gpu-hook in place, install adds podman's drop-in to it and no second gpu-hook, and
// uninstall takes that away and leaves the package whole.
func TestPackaged(t *testing.T) {
	h := newHost(t, map[string]string{"/etc/containers/containers.conf": "[engine]\n"})
	target := Target{}.OfPackage("/usr/bin/gpu-hook")
	packaged := []string{"/usr/bin/gpu-hook", shared, precreate, ofPodman}
	h.same("installed", h.install(target, h.options()), append(prefixed("installed", packaged...), "installed "+dropIn))
	h.same("installed again", h.install(target, h.options()), prefixed("installed", dropIn))
	var want []string
	for _, path := range []string{shared, precreate, ofPodman, "/usr/bin/gpu-hook"} {
		want = append(want, "left "+path+" it is a package's; remove the package")
	}
	got := h.uninstall(target, h.options())
	h.same("uninstalled", got[0], "removed "+dropIn)
	h.same("left", got[1:], want)
	for _, path := range packaged {
		h.read(path)
	}
	for name, other := range map[string]Target{
		"another place": {Bin: "/opt/bin"}, "a tree": {Destdir: "/tree"}, "a user": {User: ann()},
	} {
		h.same(name, other.OfPackage("/usr/bin/gpu-hook"), other)
	}
	h.same("another program", Target{}.OfPackage("/home/ann/gpu-hook"), Target{})
}
