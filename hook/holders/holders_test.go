package holders

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// Users that no host has.
const (
	alice   = 54321
	mallory = 54322
)

// processOf starts a process in a user namespace of this user's, as that of a rootless container is.
func processOf(t *testing.T, uid int) state.Lifetime {
	t.Helper()
	cmd := exec.Command(require.Program(t, "unshare"), "--user", "sh", "-c", "echo; exec sleep 1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		require.Missing(t, "users can make no user namespace here: %v", err)
	}
	lifetime, err := state.LifetimeOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return lifetime
}

// tree is a host with the directories of users' records.
type tree struct {
	t *testing.T
	places
}

func newTree(t *testing.T) tree {
	t.Helper()
	require.Root(t)
	top := t.TempDir()
	h := tree{t, places{top + "/run", top + "/tmp", func(dir string) bool { return !strings.HasSuffix(dir, "/666") }}}
	for _, dir := range []string{h.runtime, h.temp} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// leave leaves a record in dir, as the user does, and returns its path.
func (h tree) leave(dir, id string, uid int, l state.Lifetime) string {
	h.t.Helper()
	r := report.Make(report.NewRun(""), plan.Plan{
		Requests: []plan.Request{{Source: "s", Value: "v"}}, Grants: []plan.Grant{{CDIDevices: []string{"k=" + id}}},
	}, nil)
	r.Container.ID, r.Container.Process = id, l
	data, err := json.Marshal(r)
	if err != nil {
		h.t.Fatal(err)
	}
	file := fmt.Sprintf("%s/%s@got-0-%d-%d.json", dir, id, l.PID, l.Start)
	err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(file, data, 0o600), os.Chown(dir, uid, uid),
		os.Chown(file, uid, uid))
	if err != nil {
		h.t.Fatal(err)
	}
	return file
}

// read returns the ids and users of the containers that are found, and the errors.
func (h tree) read() (found []string, errs []string) {
	h.t.Helper()
	list, failed := usersRecords(h.places)
	for _, r := range list {
		found = append(found, fmt.Sprintf("%s %d", r.Container.ID, r.Container.UID))
	}
	for _, err := range failed {
		errs = append(errs, err.Error())
	}
	return found, errs
}

// Root finds the records of users' running containers in both places, and believes no user about another's.
func TestUsersRecords(t *testing.T) {
	h := newTree(t)
	hers, his := processOf(t, alice), processOf(t, mallory)
	in := func(uid int) string { return fmt.Sprintf("%s/%d/gpu-hook/records", h.runtime, uid) }
	h.leave(in(alice), "a", alice, hers)
	h.leave(fmt.Sprintf("%s/gpu-hook-%d/records", h.temp, alice), "b", alice, hers)
	h.leave(fmt.Sprintf("%s/gpu-hook-%d/records", h.temp, mallory), "c", mallory, his)
	reused := hers
	reused.Start--
	h.leave(in(alice), "ended", alice, reused)
	// Mallory claims a process of somebody else, and leaves what names others, leads elsewhere or never ends.
	h.leave(in(mallory), "theft", mallory, hers)
	self, err := state.LifetimeOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	h.leave(in(mallory), "root", mallory, self)
	h.leave(in(mallory), "another's", alice, his)
	h.leave(in(mallory), "anothers", alice, his)
	linked := h.leave(in(mallory), "linked", mallory, his)
	fifo := h.leave(in(mallory), "fifo", mallory, his)
	err = errors.Join(
		os.Remove(linked), os.Symlink(h.leave(t.TempDir(), "x", mallory, his), linked),
		os.Remove(fifo), unix.Mkfifo(fifo, 0o600),
		os.Mkdir(h.runtime+"/1", 0o755), os.Symlink("../54321/gpu-hook", h.runtime+"/1/gpu-hook"),
		os.Symlink("54321", h.runtime+"/2"), os.Mkdir(h.runtime+"/3", 0o755),
		os.WriteFile(h.runtime+"/4", nil, 0o644), os.Mkdir(h.temp+"/gpu-hook-x", 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	h.leave(h.runtime+"/666/gpu-hook/records", "stuck", alice, hers) // its filesystem is a program of the user's
	h.leave(h.runtime+"/0/gpu-hook/records", "nobody", alice, hers)
	found, errs := h.read()
	want := map[string]bool{"a 54321": true, "b 54321": true, "c 54322": true}
	got := map[string]bool{}
	for _, c := range found {
		got[c] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	said := strings.Join(errs, "\n")
	for _, want := range []string{
		"container theft: process", "container root: process", "container anothers: the record is uid 54321's",
		"container linked: ", "container fifo: ", "records of uid 1: open ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said:\n%s", want, said)
		}
	}
	if len(errs) != 6 {
		t.Errorf("%d errors:\n%s", len(errs), said)
	}
}

// A user who leaves very much takes neither time nor room.
func TestUsersRecordsAreBounded(t *testing.T) {
	h := newTree(t)
	hers := processOf(t, alice)
	dir := fmt.Sprintf("%s/%d/gpu-hook/records", h.runtime, alice)
	for i := range 300 {
		h.leave(dir, fmt.Sprintf("c%d", i), alice, hers)
	}
	found, errs := h.read()
	if len(found) != 256 || len(errs) != 6 || !strings.Contains(errs[5], "39 more") {
		t.Errorf("%d containers, errors: %q", len(found), errs)
	}
}

// What the records of a user make root remember does not grow with their number: no short text stands for much.
func TestUsersRecordsHoldABoundedAmount(t *testing.T) {
	h := newTree(t)
	hers := processOf(t, alice)
	dir := fmt.Sprintf("%s/%d/gpu-hook/records", h.runtime, alice)
	h.leave(dir, "small", alice, hers)
	many := strings.Repeat(",{}", 1000)
	for id, about := range map[string]string{
		"requests": `"requests":[{}` + strings.Repeat(many, 20) + `]`,
		"devices":  `"requests":[{"devices":[""` + strings.Repeat(`,""`, 60_000) + `]}]`,
		"grants": `"requests":[{"devices":[""` + strings.Repeat(`,""`, 99) + `]}],"grants":[` +
			strings.Repeat(`{"delegate":{}},`, 999) + `{}]`,
	} {
		file := h.leave(dir, id, alice, hers)
		process, err := json.Marshal(hers)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"container":{"process":%s},%s}`, process, about)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		past := time.Now().Add(-time.Hour) // the newest are read first
		if err := os.Chtimes(file, past, past); err != nil {
			t.Fatal(err)
		}
	}
	found, errs := h.read()
	if diff := cmp.Diff([]string{"small 54321"}, found); diff != "" || len(errs) != 3 {
		t.Errorf("%s, errors: %q", diff, errs)
	}
}

// A directory counts only if it is the user's whose name it has: below /tmp anybody can make one.
func TestUsersRecordsOfAnothersDirectory(t *testing.T) {
	h := newTree(t)
	his := processOf(t, mallory)
	for uid := range 50 {
		dir := fmt.Sprintf("%s/gpu-hook-%d/records", h.temp, 60000+uid)
		h.leave(dir, "c", mallory, his)
	}
	if found, errs := h.read(); len(found)+len(errs) > 0 {
		t.Errorf("found %q, errors: %q", found, errs)
	}
}

// A directory on which a user has mounted a program is not read.
func TestIsFilesystem(t *testing.T) {
	mounts := []*mountinfo.Info{
		{Mountpoint: "/run/user/1", FSType: "tmpfs"},
		{Mountpoint: "/run/user/2", FSType: "tmpfs"},
		{Mountpoint: "/run/user/2", FSType: "fuse.x"},
		{Mountpoint: "/run/user/3/doc", FSType: "fuse.portal"},
		{Mountpoint: "/run/user/4", FSType: "fuse"},
	}
	for dir, want := range map[string]bool{
		"/run/user/1": true, "/run/user/2": false, "/run/user/3": true, "/run/user/4": false, "/run/user/5": true,
	} {
		if got := isFilesystem(mounts, dir); got != want {
			t.Errorf("%s: %v", dir, got)
		}
	}
	if !thisHost().isFilesystem("/run/user/4242424") {
		t.Error("there is no mount")
	}
}

// A container has the name that its engine has for it now, if it is the same user's.
func TestRename(t *testing.T) {
	names := map[owned]containers.Container{
		{0, "a"}:     {Names: []string{"new"}},
		{alice, "b"}: {Names: []string{"k8s_x"}, Pod: "p-0", Namespace: "ml", PodContainer: "main"},
		{0, "c"}:     {},
	}
	var list []*report.Report
	for _, c := range []report.ContainerInfo{
		{ID: "a", Name: "old"}, {ID: "a", Name: "old", UID: alice}, {ID: "b", UID: alice}, {ID: "c", Name: "old"},
	} {
		list = append(list, &report.Report{Container: c})
	}
	rename(list, names)
	want := []report.ContainerInfo{
		{ID: "a", Name: "new"},
		{ID: "a", Name: "old", UID: alice},
		{ID: "b", UID: alice, Name: "main", Pod: "p-0", Namespace: "ml"},
		{ID: "c", Name: "old"},
	}
	for i, r := range list {
		if r.Container != want[i] {
			t.Errorf("%+v, want %+v", r.Container, want[i])
		}
	}
}
