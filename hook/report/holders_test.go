package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// Only containers that run now and got devices are running holders: not one that ended, not one whose pid another
// process has by now, not one of before a reboot, and not one that got nothing.
func TestRunning(t *testing.T) {
	dir := t.TempDir()
	lifetime, end := sleeper(t)
	leave := func(id string, r *Report, l state.Lifetime) {
		r.Container.ID, r.Container.Process = id, l
		keepRecord(t, dir, r, 100, 0)
	}
	reused, rebooted := lifetime, lifetime
	reused.Start--
	rebooted.Boot = "another"
	leave("runs", record(""), lifetime)
	leave("reused", record(""), reused)
	leave("rebooted", record(""), rebooted)
	leave("nothing", nothing(""), lifetime)
	leave("planned", record(""), state.Lifetime{})
	leave("refused", refused(""), lifetime)
	present := nothing("")
	present.Requests = []plan.Request{{Status: plan.Present}}
	leave("present", present, lifetime)
	if err := os.WriteFile(filepath.Join(dir, "records", "old.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	running := func() map[string]bool {
		t.Helper()
		list, errs := Running(dir)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		out := map[string]bool{}
		for _, r := range list {
			out[r.Container.ID] = true
		}
		return out
	}
	if diff := cmp.Diff(map[string]bool{"runs": true, "present": true}, running()); diff != "" {
		t.Error(diff)
	}
	end()
	if got := running(); len(got) > 0 {
		t.Errorf("it has ended, and yet there are %v", got)
	}
	if list, errs := Running(filepath.Join(dir, "none")); len(list)+len(errs) > 0 {
		t.Errorf("without records: %v %v", list, errs)
	}
	if err := os.Chmod(filepath.Join(dir, "records"), 0o777); err != nil {
		t.Fatal(err)
	}
	if list, errs := Running(dir); len(list) > 0 || len(errs) != 1 || !fault.Is(errs[0], fault.Record) {
		t.Errorf("others may write the records: %v %v", list, errs)
	}
}

// A record that cannot be read is an error, and hides no other.
func TestRunningUnreadable(t *testing.T) {
	dir := t.TempDir()
	lifetime, _ := sleeper(t)
	for _, id := range []string{"broken", "fifo", "link", "long", "runs"} {
		r := record(id)
		r.Container.Process = lifetime
		keepRecord(t, dir, r, 100, 0)
		file := filepath.Join(dir, "records", r.fileName())
		var err error
		switch id {
		case "broken":
			err = os.WriteFile(file, []byte("{"), 0o600)
		case "fifo":
			err = errors.Join(os.Remove(file), unix.Mkfifo(file, 0o600))
		case "link":
			err = errors.Join(os.Rename(file, file+".moved"), os.Symlink(file+".moved", file))
		case "long":
			err = os.Truncate(file, limits.Record+1)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	list, errs := Running(dir)
	if len(list) != 1 || list[0].Container.ID != "runs" || len(errs) != 4 ||
		!strings.Contains(errors.Join(errs...).Error(), "is not a regular file") {
		t.Errorf("%v %v", list, errs)
	}
}

// example of a record with a grant of each manner.
func manifold() *Report {
	r := record("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	r.Time = time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC)
	r.Container.Engine, r.Container.Name = "podman", "train"
	r.Requests = []plan.Request{
		{Source: "annotation:gpus", Value: "device=0", Devices: []string{"0"}, Status: plan.Granted},
		{Source: "env:V", Value: "1", Vendor: "acme", Devices: []string{"1", "acme.com/npu=2"}, Status: plan.Granted},
		{Source: "cdi", Value: "x", Vendor: "acme", Devices: []string{"acme.com/npu=all"}, Status: plan.Present},
		{Source: "mount", Value: "9", Devices: []string{"9"}, Status: plan.Overridden},
	}
	r.Grants = []plan.Grant{
		{Request: 0, Vendor: "nvidia", Driver: "nvidia.cdi", CDIDevices: []string{"nvidia.com/gpu=0"}},
		{Request: 1, Vendor: "acme", Driver: "acme.hook", Delegate: &plan.Delegate{}},
	}
	return r
}

// A container holds what gpu-hook, the vendor's own hook and the engine have given to it.
func TestHolderOf(t *testing.T) {
	h := HolderOf(manifold(), map[string]string{"acme": "acme.com/npu"})
	want := []Hold{
		{
			Devices: []string{"nvidia.com/gpu=0"}, Vendor: "nvidia", Driver: "nvidia.cdi",
			Source: "annotation:gpus", Value: "device=0",
		},
		{
			Devices: []string{"acme.com/npu=1", "acme.com/npu=2"}, Vendor: "acme", Driver: "acme.hook", Source: "env:V",
			Value: "1",
		},
		{Devices: []string{"acme.com/npu=all"}, Vendor: "acme", Source: "cdi", Value: "x"},
	}
	if diff := cmp.Diff(want, h.Holds); diff != "" {
		t.Error(diff)
	}
	all := []string{"nvidia.com/gpu=0", "acme.com/npu=1", "acme.com/npu=2", "acme.com/npu=all"}
	if diff := cmp.Diff(all, h.Devices); diff != "" {
		t.Error(diff)
	}
}

// Another user's record may hold anything: nothing of it reaches a terminal as it is, and no index leads astray.
func TestHolderOfHostileRecord(t *testing.T) {
	evil := "a\x1b[31m\u009b2J\u202e\n\t" + strings.Repeat("b", 1000)
	r := record("a")
	r.Container = ContainerInfo{ID: evil, Engine: evil, Name: evil, Pod: evil, Namespace: evil}
	r.Requests = []plan.Request{{Source: evil, Value: evil, Vendor: evil, Devices: []string{evil}, Status: plan.Present}}
	r.Grants = []plan.Grant{
		{Request: -1},
		{Request: 7},
		{Vendor: evil, Driver: evil, CDIDevices: []string{evil}},
		{Delegate: &plan.Delegate{}},
	}
	h := Holders{Containers: []Holder{HolderOf(r, map[string]string{})}}
	text, encoded := &bytes.Buffer{}, &bytes.Buffer{}
	if err := errors.Join(h.Text(text), json.NewEncoder(encoded).Encode(h)); err != nil {
		t.Fatal(err)
	}
	i := Inventory{Holders: h.On([]devices.Device{{Name: "x"}})}
	if err := i.Text(text); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{text.String(), encoded.String()} {
		if found := regexp.MustCompile("[^ -~\n…]").FindString(out); found != "" || strings.Contains(out, "bbbbb\n") {
			t.Errorf("%q is in %q", found, out)
		}
	}
	if n := strings.Count(text.String(), strings.Repeat("b", 257)); n > 0 {
		t.Errorf("%d texts are too long", n)
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "",
		"nvidia.com/gpu=0": "nvidia.com/gpu=0",
		`all,"x=1"`:        `all,"x=1"`,
		"é":                "é",
		"\x1b[m\n":         `\x1b[m\n`,
		"a\x9b2J":          "a\ufffd2J",
	} {
		if got := Shown(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func TestHoldersText(t *testing.T) {
	kinds := map[string]string{"acme": "acme.com/npu"}
	pod := record("b")
	pod.Time = time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	pod.Container.UID, pod.Container.Namespace, pod.Container.Pod, pod.Container.Name = 1000, "ml", "p-0", "main"
	pod.Requests = []plan.Request{{Source: "mount", Value: "all"}}
	h := Holders{
		Containers: []Holder{HolderOf(manifold(), kinds), HolderOf(pod, kinds)}, Unseen: "Not seen: others.",
		Errors: []Message{{Code: fault.Record, Message: "m", Hint: "h"}},
	}
	want := `ENGINE  NAME         ID            UID   SINCE                 DEVICES                        REQUEST
podman  train        0123456789ab  0     2026-11-27T07:00:00Z  nvidia.com/gpu=0               annotation:gpus "device=0"
podman  train        0123456789ab  0     2026-11-27T07:00:00Z  acme.com/npu=1 acme.com/npu=2  env:V "1"
podman  train        0123456789ab  0     2026-11-27T07:00:00Z  acme.com/npu=all               cdi "x"
-       ml/p-0/main  b             1000  2026-11-27T06:00:00Z  -                              mount "all"

Not seen: others.

error E-RECORD: m
  fix: h
`
	out := &bytes.Buffer{}
	if err := h.Text(out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	none := Holders{Unseen: "Not seen: others."}
	if err := none.Text(out); err != nil || out.String() != "no running container holds a device\n\nNot seen: others.\n" {
		t.Errorf("%q %v", out, err)
	}
}

// A device is held under each of its names, and all of a kind is each of them. What no Spec has is not lost.
func TestOn(t *testing.T) {
	container := func(id string, held ...string) Holder { return Holder{ID: id, Devices: held} }
	h := Holders{Containers: []Holder{
		container("a", "k=0"), container("b", "k=GPU-1", "k=0"), container("c", "k=all"), container("d", "k=7"),
		container("e", "other=all"),
	}}
	list := []devices.Device{
		{Name: "k=0", Kind: "k"},
		{Name: "k=1", Kind: "k", Aliases: []string{"k=GPU-1"}},
		{Name: "k=2", Kind: "k"},
		{Name: "k=GPU-1", Kind: "k", Aliases: []string{"k=1"}},
		{Name: "k=all", Kind: "k"},
	}
	got := []string{}
	for _, held := range h.On(list) {
		got = append(got, held.Device+" "+held.Container.ID)
	}
	want := []string{"k=0 a", "k=0 b", "k=0 c", "k=1 b", "k=1 c", "k=2 c", "k=7 d", "other=all e"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	out := &bytes.Buffer{}
	i := Inventory{Devices: list[:2], Holders: h.On(list[:2])}
	if err := i.Text(out); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(out.String(), "devices that CDI knows:\n")
	text, _, _ = strings.Cut(text, "\nsources")
	lines := ""
	for line := range strings.Lines(text) {
		lines += strings.Join(strings.Fields(line), " ") + "\n"
	}
	const wantText = "k=0\nheld by a\nheld by b\nheld by c\nk=1 also k=GPU-1\nheld by b\nheld by c\n" +
		"k=7 in no Spec now\nheld by d\nother=all in no Spec now\nheld by e\n"
	if diff := cmp.Diff(wantText, lines); diff != "" {
		t.Error(diff)
	}
}

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	if h, err := All(dir); err != nil || h.Records == nil || len(h.Records) > 0 {
		t.Errorf("without records: %+v %v", h, err)
	}
	at := time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC)
	full := manifold()
	bad := refused("bad")
	bad.Time, bad.Container.Engine, bad.Container.Name = at, "cri-o", "main"
	bad.Container.Pod, bad.Container.Namespace = "p-0", "ml"
	bad.Requests = []plan.Request{{Source: "mount", Value: strings.Repeat("0123456789", 5)}}
	none := nothing("none")
	none.Time = at
	keepRecord(t, dir, full, 10, time.Minute)
	keepRecord(t, dir, bad, 10, 2*time.Minute)
	keepRecord(t, dir, none, 10, 3*time.Minute)
	if err := os.WriteFile(filepath.Join(dir, "records", "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := All(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	if err := h.Text(out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{
		"TIME ENGINE NAME ID RESULT GOT REQUEST",
		"2026-11-27T07:00:00Z podman train 0123456789ab planned nvidia.com/gpu=0 1 acme.com/npu=2 acme.com/npu=all " +
			`annotation:gpus "device=0" and 3 more`,
		`2026-11-27T07:00:00Z cri-o ml/p-0/main bad refused E-NODE mount "01234567890123456789012345678901…"`,
		"2026-11-27T07:00:00Z - - none nothing - -",
		"",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d: %s", i, got)
		}
	}
	if len(h.Errors) != 1 || !strings.Contains(out.String(), "error E-RECORD: ") {
		t.Errorf("%+v", h.Errors)
	}
}
