package inject

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

// What is gone already, and a directory in which something else lies by now, are no failure of undo.
func TestUndo(t *testing.T) {
	dir := t.TempDir()
	r := rootIn(t, dir)
	err := errors.Join(
		os.MkdirAll(dir+"/used/by others", 0o700), os.Mkdir(dir+"/made", 0o700), os.WriteFile(dir+"/file", nil, 0o600),
		r.add(r.root, "used", true), r.add(r.root, "made", true), r.add(r.root, "gone", true), r.add(r.root, "file", false),
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.undo(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "used" {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// An edit is not left out if what was made for it cannot be removed.
func TestLeaveOutWhatCannotBeUndone(t *testing.T) {
	dir := t.TempDir()
	r, result, status := rootIn(t, dir), &Result{}, devices.Failed
	if err := errors.Join(os.Mkdir(dir+"/now a directory", 0o700), r.add(r.root, "now a directory", false)); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("it failed")
	err := r.leaveOut(0, &status, failed, fault.New(fault.Skipped, "x", "left out"), result)
	if !errors.Is(err, failed) || !errors.Is(err, unix.EISDIR) || status != devices.Failed || len(result.Skipped) > 0 {
		t.Errorf("%v, %s, %v", err, status, result.Skipped)
	}
}

// The root filesystem is the directory that was seen from outside and the root of a mount.
func TestCheckRoot(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, test := range []struct {
		seen       string
		attributes uint64
		want       string
	}{
		{dir, unix.STATX_ATTR_MOUNT_ROOT, ""},
		{other, unix.STATX_ATTR_MOUNT_ROOT, "in the container's mount namespace another directory stands there"},
		{dir, 0, "it is not mounted in the container's mount namespace"},
	} {
		seen, err := os.Stat(test.seen)
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, checkRoot(handle(t, dir), seen, &unix.Statx_t{Attributes: test.attributes}), test.want)
	}
}

// Before the device rules of a wish, which nobody takes back, it is still in time and its container lives.
func TestWishOfAContainerThatHasEnded(t *testing.T) {
	process := waiting(t, unix.CLONE_NEWNS)
	target := &Target{
		Process: process, Container: &state.Container{Spec: &specs.Spec{}}, StateJSON: []byte("{}"), Namespaced: true,
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	wish := func(ctx context.Context) error {
		return target.applyWish(ctx, &rootfs{}, nil, nil, nil, &Result{})
	}
	if err := wish(t.Context()); err != nil {
		t.Error(err)
	}
	if err := wish(late); !fault.Is(err, fault.Ended) {
		t.Errorf("told to end: %v", err)
	}
	if err := unix.Kill(process.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, process.PID, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if err := wish(t.Context()); !fault.Is(err, fault.State) {
		t.Errorf("a container that has ended: %v", err)
	}
}

// Whoever may write above the directory of private bundles could put another in its place.
func TestRunDelegateBelowSomeonesDirectory(t *testing.T) {
	top := t.TempDir()
	if err := os.Chmod(top, 0o777); err != nil {
		t.Fatal(err)
	}
	target := &Target{RunDir: top + "/run", Owner: us(), Container: &state.Container{}}
	_, err := target.runDelegate(t.Context(), Delegate{Path: "/bin/true", Args: []string{"true"}})
	if !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("got %v", err)
	}
}
