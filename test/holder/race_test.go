package holder

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/race"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// racedSpec mounts a file and makes a node below a directory that is moved about. Its hook fails, so that everything is
// undone, under the same attack, and the container can be started again.
const racedSpec = `
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: all
  containerEdits:
    deviceNodes: [{path: /opt/a/b/gpu0, hostPath: HOST/dev/nvidia0}]
    mounts: [{hostPath: HOST/version, containerPath: /opt/a/b/new/library, options: [ro, bind]}]
    hooks: [{hookName: createRuntime, path: HOST/bin/hook}]
`

// checksThenUses is the positive control: a program that looks whether the path is what it seems to be, and uses it
// then. It runs in the container's mount namespace, as gpu-hook works there, and makes files with these numbers.
const checksThenUses = `i=$1; while [ $i -lt $2 ]; do i=$((i+1))
	d=$(readlink -f "$3/opt/a/b")
	[ "$d" = "$3/opt/a/b" ] && true >"$3/opt/a/b/naive$i"
done 2>/dev/null; true`

// hookPatterns are the ways in which a neighbour of the container moves paths about. Each returns the step that it
// repeats, on the host's side of the root filesystem.
func hookPatterns() map[string]func(c *container) func() {
	exchange := func(name, target string) func(c *container) func() {
		return func(c *container) func() {
			c.must(os.Symlink(strings.ReplaceAll(target, "OUT", c.outside()), c.rootfs("/opt/swap")))
			return func() {
				_ = unix.Renameat2(unix.AT_FDCWD, c.rootfs(name), unix.AT_FDCWD, c.rootfs("/opt/swap"), unix.RENAME_EXCHANGE)
			}
		}
	}
	return map[string]func(c *container) func(){
		"directory and absolute link":  exchange("/opt/a", "OUT"),
		"directory below and link":     exchange("/opt/a/b", "OUT/b"),
		"directory and relative link":  exchange("/opt/a", "../../../outside"),
		"directory that is made again": replaced,
		"mount point":                  mountedOver,
	}
}

// replaced replaces the directory by a link and back.
func replaced(c *container) func() {
	c.must(os.Symlink(c.outside(), c.rootfs("/opt/link")))
	return func() {
		_ = os.Rename(c.rootfs("/opt/a"), c.rootfs("/opt/kept"))
		_ = os.Rename(c.rootfs("/opt/link"), c.rootfs("/opt/a"))
		_ = os.Rename(c.rootfs("/opt/a"), c.rootfs("/opt/link"))
		_ = os.Rename(c.rootfs("/opt/kept"), c.rootfs("/opt/a"))
	}
}

// mountedOver mounts the directory outside on the directory and takes it away, in the container's mount namespace.
func mountedOver(c *container) func() {
	const script = `for i in 1 2 3 4 5 6 7 8; do mount --bind "$1" "$2/opt/a" && umount -l "$2/opt/a"; done`
	return func() { _ = c.enter(script, c.outside(), c.rootfs("")).Run() }
}

// enter prepares a shell script that runs in the holder's mount namespace.
func (c *container) enter(script string, args ...string) *exec.Cmd {
	c.t.Helper()
	argv := []string{"--target", fmt.Sprint(c.pid), "--mount", "--", "/bin/sh", "-c", script, "sh"}
	return exec.Command(require.Program(c.t, "nsenter"), append(argv, args...)...)
}

const (
	// racedStarts is how often the hook is started under all patterns together, where nothing scales it.
	racedStarts = 50
	// naiveTries is how often the control tries for each start.
	naiveTries = 40
	// needed is how often the control must have escaped.
	needed = 10
)

// Whatever a neighbour moves about while gpu-hook works and takes back what it did, nothing appears outside the root
// filesystem, and nothing stays in it. A program that is not careful loses the same races.
func TestRacesOfTheHook(t *testing.T) {
	starts, escapes, control := 0, 0, 0
	for name, attack := range hookPatterns() {
		t.Run(name, func(t *testing.T) {
			c := newBundle(t, func(_ *container, b *gpuhost.Bundle) { b.Env = []string{"NVIDIA_VISIBLE_DEVICES=all"} })
			c.spec(racedSpec)
			c.must(c.host.Write("bin/hook", "#!/bin/sh\nexit 7\n", 0o755))
			c.mkdir(c.rootfs("/opt/a/b"), c.outside()+"/b")
			c.start()
			s, e, n := c.raced(attack, race.NewBudget(racedStarts, len(hookPatterns())))
			starts, escapes, control = starts+s, escapes+e, control+n
			c.nothingLeft()
		})
	}
	t.Logf("%d starts, %d escapes; the control escaped %d times in %d tries", starts, escapes, control, starts*naiveTries)
	if escapes > 0 {
		t.Errorf("%d of %d starts escaped", escapes, starts)
	}
	if control < needed {
		t.Errorf("the control escaped %d times: the race proves nothing", control)
	}
}

// raced starts the container and lets the control try, in turn, while a neighbour attacks. It returns how often it was
// started, and how often it and the control escaped.
func (c *container) raced(attack func(c *container) func(), budget *race.Budget) (starts, escapes, control int) {
	c.t.Helper()
	defer race.Repeat(attack(c))()
	for ; budget.Next(); starts++ {
		if r := c.run(); r.status != 0 {
			c.t.Logf("status %d: %s", r.status, r.stderr)
		}
		escapes += c.escapes("gpu0", "library", "new")
		first := starts * naiveTries
		c.must(c.enter(checksThenUses, fmt.Sprint(first), fmt.Sprint(first+naiveTries), c.rootfs("")).Run())
		control += c.escapes("naive")
	}
	return starts, escapes, control
}

// escapes returns how many files outside have a name that begins so, and removes them. A mount there counts too.
func (c *container) escapes(prefixes ...string) (n int) {
	c.t.Helper()
	c.must(filepath.WalkDir(c.outside(), func(path string, _ fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		for _, prefix := range prefixes {
			if strings.HasPrefix(filepath.Base(path), prefix) {
				n++
				_ = os.Remove(path)
			}
		}
		return err
	}))
	return n
}

// nothingLeft checks that of what the Spec makes nothing is in the root filesystem, wherever it was moved, and that the
// container has no mount of it.
func (c *container) nothingLeft() {
	c.t.Helper()
	c.must(filepath.WalkDir(c.rootfs("/opt"), func(path string, _ fs.DirEntry, err error) error {
		if base := filepath.Base(path); base == "gpu0" || base == "library" || base == "new" {
			c.t.Errorf("left: %s", path)
		}
		return err
	}))
	if inside := c.inside(); strings.Contains(inside, c.host.Path("version")) {
		c.t.Errorf("a mount is left: %s", inside)
	}
}
