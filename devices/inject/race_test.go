package inject

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/race"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// arena is a root filesystem that is attacked, with a directory outside that must stay as it is, on a tmpfs. Both have
// a directory a, in which things are made, and files that mounts may land on.
type arena struct {
	t    *testing.T
	top  string
	root string // with the directory a
	out  string
	r    *rootfs
}

func newArena(t *testing.T) *arena {
	t.Helper()
	alone(t)
	top := onMemory(t)
	a := &arena{t: t, top: top, root: top + "/root", out: top + "/out"}
	for _, dir := range []string{a.root + "/a/b", a.root + "/kept", a.out + "/b", top + "/host"} {
		a.must(os.MkdirAll(dir, 0o755))
	}
	for _, file := range []string{a.root + "/a/target", a.out + "/target", top + "/host/file"} {
		a.must(os.WriteFile(file, nil, 0o644))
	}
	a.must(makeAt(top+"/host/null", unix.S_IFCHR|0o600, 1, 3))
	// The host does not have the root's mount, as it is after a runtime has bound it.
	a.must(unix.Mount(a.root, a.root, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(a.root, unix.MNT_DETACH) })
	a.r = rootIn(t, a.root)
	return a
}

func (a *arena) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// patterns are the ways in which the container moves paths about. Each makes what it needs and returns what it repeats.
func patterns() map[string]func(a *arena) func() {
	exchange := func(name, target string) func(a *arena) func() {
		return func(a *arena) func() {
			a.must(os.Symlink(strings.ReplaceAll(target, "OUT", a.out), a.root+"/swap"))
			return func() {
				_ = unix.Renameat2(unix.AT_FDCWD, a.root+name, unix.AT_FDCWD, a.root+"/swap", unix.RENAME_EXCHANGE)
			}
		}
	}
	return map[string]func(a *arena) func(){
		"directory and absolute link":  exchange("/a", "OUT"),
		"directory and relative link":  exchange("/a", "../out"),
		"directory below and link":     exchange("/a/b", "OUT/b"),
		"target file and link":         exchange("/a/target", "OUT/target"),
		"directory that is made again": removed,
		"mount point":                  remounted,
	}
}

// removed replaces the directory by a link and by a new directory, in turn.
func removed(a *arena) func() {
	a.must(os.Symlink(a.out, a.root+"/link"))
	return func() {
		_ = os.Rename(a.root+"/a", a.root+"/kept/a")
		_ = os.Rename(a.root+"/link", a.root+"/a")
		_ = os.Rename(a.root+"/a", a.root+"/link")
		_ = os.Rename(a.root+"/kept/a", a.root+"/a")
	}
}

// remounted mounts the directory outside on the directory and takes it away, as a neighbour with a shared mount can.
func remounted(a *arena) func() {
	return func() {
		if unix.Mount(a.out, a.root+"/a", "", unix.MS_BIND, "") == nil {
			_ = unix.Unmount(a.root+"/a", unix.MNT_DETACH)
		}
	}
}

// operation is something that gpu-hook does in a root filesystem, as gpu-hook does it and as a program does it that
// resolves a path first and uses it then: the positive control. The name is of what is made.
type operation struct {
	careful func(a *arena, name string) error
	naive   func(a *arena, name string) error
	// escaped reports whether something of this name has come outside, and removes it there.
	escaped func(a *arena, name string) bool
}

// operations are all that gpu-hook does in a root filesystem.
func operations() map[string]operation {
	return map[string]operation{
		"make a directory": {
			func(a *arena, name string) error {
				dir, err := a.r.openDir("/a/b/" + name)
				return errors.Join(err, dir.Close())
			},
			func(a *arena, name string) error { return os.MkdirAll(a.joined("/a/b/"+name), 0o755) },
			appeared,
		},
		"make a file": {
			func(a *arena, name string) error {
				target, err := a.r.createFile("/a/b/" + name)
				if err != nil {
					return err
				}
				return target.Close()
			},
			func(a *arena, name string) error { return os.WriteFile(a.joined("/a/b/"+name), nil, 0o644) },
			appeared,
		},
		"make a node": {
			func(a *arena, name string) error { return a.r.makeNode(null("/a/b/"+name, 0)) },
			func(a *arena, name string) error { return makeAt(a.joined("/a/b/"+name), unix.S_IFCHR|0o600, 1, 3) },
			appeared,
		},
		"mount":  {(*arena).mountCarefully, (*arena).mountNaively, landed},
		"remove": {(*arena).removeCarefully, (*arena).removeNaively, vanished},
	}
}

// joined is what many programs do: the path is resolved in the root, and used afterwards.
func (a *arena) joined(path string) string {
	joined, err := securejoin.SecureJoin(a.root, path)
	if err != nil {
		return a.root + "/nowhere/at/all"
	}
	return joined
}

// appeared reports whether the name is in the directory outside or in the one below it.
func appeared(a *arena, name string) bool {
	found := false
	for _, path := range []string{a.out + "/" + name, a.out + "/b/" + name} {
		if unix.Rmdir(path) == nil || unix.Unlink(path) == nil {
			found = true
		}
	}
	return found
}

func (a *arena) mountCarefully(string) error {
	tree, err := clone(a.top+"/host/file", false)
	if err != nil {
		return err
	}
	defer tree.Close()
	s := &source{Mount: &devices.Mount{ContainerPath: "/a/target"}, tree: tree}
	if err := s.identify(); err != nil {
		return err
	}
	err = a.r.move(s)
	_ = unix.Unmount(a.root+"/a/target", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	_ = unix.Unmount(a.root+"/swap/target", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	return err
}

func (a *arena) mountNaively(string) error {
	path := a.joined("/a/target")
	if err := unix.Mount(a.top+"/host/file", path, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}

// landed reports whether something is mounted on the file outside, and takes it away.
func landed(a *arena, _ string) bool {
	found := false
	for unix.Unmount(a.out+"/target", unix.MNT_DETACH) == nil {
		found = true
	}
	return found
}

// removeCarefully makes a file and takes it back. A file of the same name is outside.
func (a *arena) removeCarefully(name string) error {
	a.must(os.WriteFile(a.out+"/b/"+name, nil, 0o644))
	target, err := a.r.createFile("/a/b/" + name)
	if err != nil {
		return err
	}
	return errors.Join(target.Close(), a.r.undoSince(0))
}

func (a *arena) removeNaively(name string) error {
	a.must(os.WriteFile(a.out+"/b/"+name, nil, 0o644))
	return os.Remove(a.joined("/a/b/" + name))
}

// vanished reports whether the file outside is gone.
func vanished(a *arena, name string) bool { return unix.Unlink(a.out+"/b/"+name) != nil }

// forget removes what a try has made in the root, and what the journal says of it.
func (a *arena) forget(name string) {
	a.r.close()
	for _, dir := range []string{"/a/b/", "/swap/", "/kept/a/b/", "/a/"} {
		if path := a.root + dir + name; unix.Unlink(path) != nil {
			_ = unix.Rmdir(path)
		}
	}
}

// tries is how often all operations together are raced with each resolver. make test races five times as often, and
// make race-long 900 times: see [race.NewBudget].
const tries = 10_000

// needed is how often the positive control must have escaped: a race that nobody can lose proves nothing.
const needed = 10

// score is the result of one operation under one pattern.
type score struct{ tries, done, escaped, control int }

// Whatever the container moves about meanwhile, nothing is made, mounted or removed outside its root filesystem. A
// program that is not careful loses the same races.
func TestRaces(t *testing.T) {
	require.Root(t)
	if os.Getenv(walkEnv) != "" {
		if err := require.TakeOpenat2(); err != nil {
			t.Fatal(err)
		}
	}
	parts := len(patterns()) * len(operations())
	var total score
	for what, op := range operations() {
		var of score
		for pattern, attack := range patterns() {
			t.Run(what+"/"+pattern, func(t *testing.T) {
				s := raced(newArena(t), attack, op, race.NewBudget(tries, parts))
				of = of.plus(s)
				if s.escaped > 0 {
					t.Errorf("%d of %d tries escaped", s.escaped, s.tries)
				}
			})
		}
		t.Logf("%s: %s", what, of)
		total = total.plus(of)
	}
	t.Logf("all: %s", total)
	if total.control < needed {
		t.Errorf("the control escaped %d times in %d tries: the race proves nothing", total.control, total.tries)
	}
}

func (s score) plus(o score) score {
	return score{s.tries + o.tries, s.done + o.done, s.escaped + o.escaped, s.control + o.control}
}

func (s score) String() string {
	return fmt.Sprintf("%d tries, %d done, %d escaped; the control escaped %d times",
		s.tries, s.done, s.escaped, s.control)
}

// raced tries the operation, carefully and naively in turn, while the container attacks.
func raced(a *arena, attack func(a *arena) func(), op operation, budget *race.Budget) (s score) {
	defer meanwhile(a.t, attack(a))()
	for budget.Next() {
		s.tries++
		name := fmt.Sprintf("n%d", s.tries)
		if op.careful(a, name) == nil {
			s.done++
		}
		if op.escaped(a, name) {
			s.escaped++
		}
		a.forget(name)
		_ = op.naive(a, name)
		if op.escaped(a, name) {
			s.control++
		}
		a.forget(name)
	}
	return s
}

// meanwhile repeats the step, in the mount namespace of the test's thread, until stop is called.
func meanwhile(t *testing.T, step func()) (stop func()) {
	t.Helper()
	namespace, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	quit, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- inNamespaces([]*os.File{namespace}, func() error {
			for {
				select {
				case <-quit:
					return nil
				default:
					step()
				}
			}
		})
	}()
	return func() {
		close(quit)
		if err := errors.Join(<-ended, namespace.Close()); err != nil {
			t.Error(err)
		}
	}
}

// walkEnv is the variable that makes the races run without openat2(2).
const walkEnv = "GPU_HOOK_TEST_WALK"

// The races again, where the kernel has no openat2(2). It is taken from a process of its own.
func TestRacesWithoutOpenat2(t *testing.T) {
	require.Root(t)
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestRaces$", "-test.v", "-test.timeout", "0")
	cmd.Env = append(os.Environ(), walkEnv+"=1")
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if err != nil || strings.Contains(line, "escaped") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Error(err)
	}
}
