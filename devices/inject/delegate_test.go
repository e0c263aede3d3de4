package inject

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/state"
)

// A bundle that a killed run has left is removed after a while. Nothing else is.
func TestBundlesOfKilledRuns(t *testing.T) {
	run := t.TempDir()
	if err := os.Chmod(run, 0o755); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * abandoned)
	for name, at := range map[string]time.Time{"delegate-old": old, "delegate-new": time.Now(), "records": old} {
		dir := filepath.Join(run, name)
		err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(dir+"/config.json", nil, 0o600), os.Chtimes(dir, at, at))
		if err != nil {
			t.Fatal(err)
		}
	}
	target := &Target{RunDir: run, Owner: us(), Container: &state.Container{}}
	if _, err := target.runDelegate(t.Context(), Delegate{Path: "/bin/true", Args: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(run)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if err != nil || !slices.Equal(left, []string{"delegate-new", "records"}) {
		t.Errorf("%v, %v", left, err)
	}
}

// Nobody waits for a /dev with more nodes than any delegate makes.
func TestDevThatIsTooFull(t *testing.T) {
	for name, dirs := range map[string]map[string]int{
		"several directories": {"dev/a": maxNodes/2 + 1, "dev/b": maxNodes/2 + 1, "dev/c": maxNodes/2 + 1},
		"one directory":       {"dev/a": maxNodes + 1},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			top := onMemory(t)
			r := rootWithDev(t, top)
			for dir, nodes := range dirs {
				if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
					t.Fatal(err)
				}
				for i := range nodes {
					if err := unix.Mknod(fmt.Sprintf("%s/%s/%d", top, dir, i), unix.S_IFCHR, int(unix.Mkdev(1, 3))); err != nil {
						t.Fatal(err)
					}
				}
			}
			if found, err := r.devNodes(); err == nil {
				t.Errorf("%d nodes were found", len(found))
			}
		})
	}
}

// Only a /dev of the container's own is looked through, without the mounts in it: elsewhere others could make a node
// just now and have it opened.
func TestNodesOnOtherMounts(t *testing.T) {
	alone(t)
	top := onMemory(t)
	r := rootWithDev(t, top)
	null := int(unix.Mkdev(1, 3))
	err := errors.Join(
		os.MkdirAll(top+"/dev/volume", 0o700),
		unix.Mknod(top+"/dev/its", unix.S_IFCHR, null),
		unix.Mount("tmpfs", top+"/dev/volume", "tmpfs", 0, ""),
		unix.Mknod(top+"/dev/volume/others", unix.S_IFCHR, null),
	)
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.devNodes()
	if _, its := found["/dev/its"]; err != nil || !its || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
	if err := unix.Mount(t.TempDir(), top+"/dev", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(top+"/dev/others", unix.S_IFCHR, null); err != nil {
		t.Fatal(err)
	}
	if found, err = r.devNodes(); err != nil || len(found) != 0 {
		t.Errorf("on a volume: %v, %v", found, err)
	}
	err = errors.Join(
		unix.Unmount(top+"/dev", unix.MNT_DETACH), unix.Unmount(top+"/dev", unix.MNT_DETACH),
		unix.Mknod(top+"/dev/others", unix.S_IFCHR, null),
	)
	if err != nil {
		t.Fatal(err)
	}
	if found, err = r.devNodes(); err != nil || len(found) != 0 {
		t.Errorf("in the root filesystem: %v, %v", found, err)
	}
}
