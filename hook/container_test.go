package hook

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// storage is the storage of podman and CRI-O below a root directory.
type storage struct {
	*ground
	dir  string
	view containers.View
	list []map[string]any
}

func newStorage(t *testing.T) *storage {
	g := newGround(t)
	dir := filepath.Join(filepath.Dir(g.bundle), "top")
	return &storage{ground: g, dir: dir, view: containers.View{Root: dir}}
}

// id64 returns an id that begins so.
func id64(beginning string) string { return beginning + strings.Repeat("0", 64-len(beginning)) }

// keep adds a container to the storage, and writes its bundle unless spec is nil.
func (s *storage) keep(beginning, name, metadata string, spec *specs.Spec) {
	s.t.Helper()
	const graph = "var/lib/containers/storage/overlay-containers"
	id := id64(beginning)
	s.list = append(s.list, map[string]any{
		"id": id, "names": []string{name}, "metadata": metadata, "created": "2026-11-27T07:09:44Z",
	})
	s.write(graph+"/containers.json", s.list)
	if spec != nil {
		s.write(filepath.Join(graph, id, "userdata", "config.json"), spec)
	}
}

func (s *storage) write(name string, value any) {
	s.t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

const (
	podmans = `{"name":"x","image-name":"i"}`
	crios   = `{"name":"x","pod-name":"k8s_p_default_u_0","pod-id":"y","metadata-name":"job"}`
)

// asking is the spec of a container with this id that asks for a GPU by its environment.
func (s *storage) asking(beginning, device string) *specs.Spec {
	spec := s.container([]string{"NVIDIA_VISIBLE_DEVICES=" + device}, nil)
	spec.Linux.CgroupsPath = "machine.slice:libpod:" + id64(beginning)
	return spec
}

// What a container's next start would come to is told by its name.
func TestExplainContainer(t *testing.T) {
	s := newStorage(t)
	s.keep("aa", "web", podmans, s.asking("aa", "0"))
	s.keep("ab", "refused", podmans, s.asking("ab", "7"))
	s.keep("ac", "never", podmans, nil)
	job := s.asking("ad", "0")
	job.Linux.CgroupsPath = "kubepods.slice:crio:" + id64("ad")
	s.keep("ad", "k8s_job_p_default_u_0", crios, job)
	s.keep("ae", "pause", "", nil)
	s.write("var/lib/containers/storage/overlay-containers/"+id64("ae")+"/userdata/buildah.json", 0)
	s.keep("af", "stopped", podmans, s.asking("af", "0"))
	gone := s.asking("ba", "0")
	gone.Root.Path = "/nowhere/merged"
	s.keep("ba", "gone", podmans, gone)

	for name, want := range map[string]report.ContainerInfo{
		"web": {ID: id64("aa"), Engine: "podman", Name: "web"},
		"ab0": {ID: id64("ab"), Engine: "podman", Name: "refused"},
		"job": {ID: id64("ad"), Engine: "cri-o", Name: "job", Pod: "p", Namespace: "default"},
	} {
		r, err := ExplainContainer(s.options, s.view, name)
		if err != nil {
			t.Fatal(err)
		}
		want.Stage = StageCreateRuntime
		want.Bundle = s.dir + "/var/lib/containers/storage/overlay-containers/" + want.ID + "/userdata"
		if diff := cmp.Diff(want, r.Container); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, want := range map[string]string{"web": "planned", "refused": "refused", "gone": "planned"} {
		r, err := ExplainContainer(s.options, s.view, name)
		if err != nil || r.Result != want {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	for name, want := range map[string]string{
		"never": "E-BUNDLE|container never (podman, ac0000000000): it was never started, and its engine writes config.json " +
			"at the start|podman init never; then: gpu-hook explain never",
		"pause": "E-BUNDLE|container pause (buildah, ae0000000000): a build keeps no config.json where it can be found|" +
			"describe what it asks for: gpu-hook explain --engine buildah --gpus all",
		"wep": "E-REQUEST|container wep: no engine of this host has such a container|did you mean web?",
	} {
		_, err := ExplainContainer(s.options, s.view, name)
		if text := told(err); text != want {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// told returns an error as code|text|hint.
func told(err error) string {
	f := fault.From(err)
	if f == nil {
		return ""
	}
	return string(f.Code()) + "|" + f.Error() + "|" + f.Hint()
}

// What could not be looked at is said in a line.
func TestExplainUnseen(t *testing.T) {
	s := newStorage(t)
	s.keep("aa", "web", podmans, s.asking("aa", "0"))
	empty, gone := s.asking("ab", "0"), s.asking("ac", "0")
	empty.Root.Path, gone.Root.Path = t.TempDir(), "/nowhere/merged"
	s.keep("ab", "stopped", podmans, empty)
	s.keep("ac", "gone", podmans, gone)
	s.keep("ad", "plain", podmans, s.container(nil, nil))
	if err := os.WriteFile(filepath.Join(s.bundle, "rootfs", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	job := s.asking("ae", "0")
	job.Linux.CgroupsPath = "kubepods.slice:crio:" + id64("ae")
	s.keep("ae", "k8s_job_p_default_u_0", crios, job)
	// The Spec of this host has edits that are late, and podman can have them made before.
	const root, precreate = "its root filesystem, which is not mounted now", "podman's precreate stage"
	for name, want := range map[string][]string{
		"web": {precreate}, "stopped": {root, precreate}, "gone": {root, precreate}, "plain": nil, "job": nil,
	} {
		r, err := ExplainContainer(s.options, s.view, name)
		if err != nil {
			t.Fatal(err)
		}
		isOne := func(got, want string) bool { return strings.HasPrefix(got, want) }
		if !slices.EqualFunc(r.Unseen, want, isOne) || r.Failed() {
			t.Errorf("%s: %q, %v", name, r.Unseen, r.Errors)
		}
	}
}

// Root plans for a user's container as that user's hook would, and follows no path of the user's.
func TestExplainContainerOfUser(t *testing.T) {
	s := newStorage(t)
	s.keep("aa", "hers", podmans, s.asking("aa", "0"))
	home := filepath.Join(s.dir, "home/alice/.local/share/containers")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.dir, "var/lib/containers/storage"), filepath.Join(home, "storage")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.dir, filepath.Dir(s.dir), filepath.Dir(filepath.Dir(s.dir))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.Walk(home, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chown(path, 1234, 1234))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.view.Users = []containers.User{{UID: 1234, GID: 1234, Home: "/home/alice"}}
	c, err := containers.Find(s.view, "hers")
	if err != nil {
		t.Fatal(err)
	}
	start, err := planned(s.options, c)
	if err != nil {
		t.Fatal(err)
	}
	self := trust.Self{Rootless: true, Namespaced: true, UID: 1234, Owner: trust.Owner{UID: 1234}}
	r := start.Report
	if start.config.Self != self || start.root != "" || r.Container.UID != 1234 || r.Result != "planned" ||
		len(r.Unseen) != 2 || !strings.HasPrefix(r.Unseen[0], "its user's own configuration") {
		t.Errorf("%+v, root %q, %+v", start.config.Self, start.root, r)
	}
	_, err = Last(s.options, s.view, "hers")
	if text := told(err); text != "E-RECORD|container hers (podman, aa0000000000, uid 1234): its records are its user's|"+
		"run it as uid 1234" {
		t.Error(text)
	}

	// A container of root's that is gone is not hidden by one that a user calls the same.
	conf, err := s.options.Load()
	if err != nil {
		t.Fatal(err)
	}
	run := report.NewRun(StageCreateRuntime)
	run.Container.ID, run.Container.Name = id64("aa"), "hers"
	report.Make(run, plan.Plan{}, nil).Keep(conf.RunDir(), 10)
	for _, name := range []string{"hers", "aa", id64("aa")} {
		if r, err := Last(s.options, s.view, name); err != nil || r.Container.ID != id64("aa") {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if _, err := lastOf(s.options, conf.RunDir(), c); err == nil {
		t.Error("root's record counts as that of the user's container with the same id")
	}
}

// last takes a name, and says of a container without a record why there is none.
func TestLastByName(t *testing.T) {
	s := newStorage(t)
	s.keep("aa", "web", podmans, s.asking("aa", "0"))
	unhooked := s.asking("ab", "0")
	unhooked.Hooks = nil
	s.keep("ab", "unhooked", podmans, unhooked)
	s.keep("ac", "quiet", podmans, s.container(nil, nil))
	s.keep("ad", "nothing", podmans, s.asking("ad", "void"))
	s.keep("ae", "kept", podmans, s.asking("ae", "0"))
	s.keep("af", "never", podmans, nil)
	c, err := s.options.Load()
	if err != nil {
		t.Fatal(err)
	}
	run := report.NewRun(StageCreateRuntime)
	run.Container.ID = id64("ae")
	report.Make(run, plan.Plan{}, nil).Keep(c.RunDir(), 10)
	gone := run
	gone.Container.ID, gone.Container.Name = id64("ba"), "gone"
	report.Make(gone, plan.Plan{}, nil).Keep(c.RunDir(), 10)
	s.keep("bb", "ba", podmans, s.container(nil, nil)) // a name that is the beginning of an id
	if r, err := Last(s.options, s.view, "gone"); err != nil || r.Container.ID != id64("ba") {
		t.Errorf("gone: %v, %v", r, err)
	}

	for _, name := range []string{"kept", id64("ae"), "ae"} {
		if r, err := Last(s.options, s.view, name); err != nil || r.Container.ID != id64("ae") {
			t.Errorf("%q: %v, %v", name, r, err)
		}
	}
	for name, want := range map[string]string{
		"web": "its record is gone", "unhooked": "gpu-hook was not called", "quiet": "it asks for nothing",
		"nothing": "it asks for nothing", "never": "it was never started", "nope": "there is no record of a container",
		"ba":   "container ba (podman, bb0000000000): it asks for nothing",
		"qiet": "did you mean quiet?",
	} {
		if _, err := Last(s.options, s.view, name); err == nil || !strings.Contains(told(err), want) {
			t.Errorf("%q: %s", name, told(err))
		}
	}
}

// Containers are offered by their names and ids, but for names that a shell would take apart.
func TestContainers(t *testing.T) {
	s := newStorage(t)
	s.keep("aa", "web", podmans, nil)
	s.keep("ab", "a b", podmans, nil)
	s.keep("ac", "k8s_job_p_default_u_0", crios, nil)
	s.keep("ad", "-f", podmans, nil)
	want := []Known{
		{"web", "web (podman, aa0000000000)", false},
		{"aa0000000000", "web (podman, aa0000000000)", true},
		{"ab0000000000", `"a b" (podman, ab0000000000)`, true},
		{"default/p/job", "default/p/job (cri-o, ac0000000000)", false},
		{"ac0000000000", "default/p/job (cri-o, ac0000000000)", true},
		{"ad0000000000", "-f (podman, ad0000000000)", true},
	}
	if diff := cmp.Diff(want, Containers(s.view)); diff != "" {
		t.Error(diff)
	}
}
