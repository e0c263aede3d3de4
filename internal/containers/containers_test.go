package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

const (
	rootGraph  = "var/lib/containers/storage"
	rootRun    = "run/containers/storage"
	aliceGraph = "home/alice/.local/share/containers/storage"
)

// host is a root directory with storages in it.
type host struct {
	*testing.T
	dir string
}

func newHost(t *testing.T) host {
	t.Helper()
	dir := t.TempDir()
	// Other users must be able to reach their homes in it.
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return host{t, dir}
}

func (h host) path(name string) string { return filepath.Join(h.dir, name) }

func (h host) write(name, text string) {
	h.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(h.path(name)), 0o755), os.WriteFile(h.path(name), []byte(text), 0o644))
	if err != nil {
		h.Fatal(err)
	}
}

// ownHome gives all below alice's home to her, and closes it to others.
func (h host) ownHome() {
	h.Helper()
	const dir, uid = "home/alice", 1234
	err := filepath.Walk(h.path(dir), func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Lchown(path, uid, uid))
	})
	if err = errors.Join(err, os.Chmod(h.path(dir), 0o700)); err != nil {
		h.Fatal(err)
	}
}

// store writes the containers into a file of a storage.
func (h host) store(file string, list ...stored) {
	h.Helper()
	data, err := json.Marshal(list)
	if err != nil {
		h.Fatal(err)
	}
	h.write(file, string(data))
}

func (h host) list(v View) []Container {
	h.Helper()
	v.Root = h.dir
	list, errs := List(v)
	if len(errs) > 0 {
		h.Error(errs)
	}
	return list
}

// id returns an id that begins so.
func id(beginning string) string { return beginning + strings.Repeat("0", 64-len(beginning)) }

func at(second int) time.Time { return time.Date(2026, 11, 27, 0, 0, second, 0, time.UTC) }

// podmans is a container as podman 4.3.1 stores it.
func podmans(beginning, name string, second int) stored {
	meta, _ := json.Marshal(map[string]any{
		"image-name": "localhost/img:1", "image-id": "d5", "name": name, "created-at": 1795763384,
	})
	return stored{ID: id(beginning), Names: []string{name}, Created: at(second), Metadata: string(meta)}
}

// crios is a container as CRI-O stores it: its pod's infra container, if it has the same id.
func crios(beginning, pod, name, inPod string, second int) stored {
	meta, _ := json.Marshal(map[string]any{
		"pod-name": "k8s_p_default_uid-p_0", "pod-id": id(pod), "image-name": "i", "image-id": "d5", "name": name,
		"metadata-name": inPod, "created-at": 1795763384, "attempt": 2,
	})
	return stored{ID: id(beginning), Names: []string{name}, Created: at(second), Metadata: string(meta)}
}

var root = View{}

// Every engine's containers are found, each with its bundle if the engine has written one.
func TestList(t *testing.T) {
	h := newHost(t)
	h.store(rootGraph+"/overlay-containers/containers.json",
		podmans("aa", "web", 1), podmans("ab", "never", 2), stored{ID: id("bb"), Names: []string{"img-working-container"}},
		stored{ID: id("bc"), Metadata: "another's"}, stored{ID: "../../etc", Names: []string{"attack"}})
	h.write(rootGraph+"/overlay-containers/"+id("aa")+"/userdata/config.json", "{}")
	h.write(rootGraph+"/overlay-containers/"+id("bb")+"/userdata/buildah.json", "{}")
	h.write(rootGraph+"/overlay-containers/"+id("bb")+"/userdata/config.json", "{}")
	h.store(rootGraph+"/overlay-containers/volatile-containers.json",
		crios("cc", "cd", "k8s_job_p_default_uid-p_2", "job", 4), crios("cd", "cd", "k8s_POD_p_default_uid-p_2", "p", 3))
	for _, top := range []string{rootGraph, rootRun} {
		h.write(top+"/overlay-containers/"+id("cc")+"/userdata/config.json", "{}")
	}
	h.store(rootRun+"/overlay-containers/volatile-containers.json", podmans("ae", "transient", 5),
		podmans("aa", "again", 6))
	h.store(rootGraph+"/vfs-containers/containers.json", podmans("af", "old", 7))
	h.store(aliceGraph+"/overlay-containers/containers.json", podmans("ff", "hers", 8))

	bundle := func(top, beginning string) string {
		return h.path(top + "/overlay-containers/" + id(beginning) + "/userdata")
	}
	want := []Container{
		{ID: id("af"), Names: []string{"old"}, Engine: "podman", Created: at(7)},
		{ID: id("ae"), Names: []string{"transient"}, Engine: "podman", Created: at(5)},
		{
			ID: id("cc"), Names: []string{"k8s_job_p_default_uid-p_2"}, Engine: "cri-o", Created: at(4),
			Bundle: bundle(rootRun, "cc"), Pod: "p", Namespace: "default", PodContainer: "job",
		},
		{ID: id("ab"), Names: []string{"never"}, Engine: "podman", Created: at(2)},
		{ID: id("aa"), Names: []string{"web"}, Engine: "podman", Created: at(1), Bundle: bundle(rootGraph, "aa")},
		{ID: id("bb"), Names: []string{"img-working-container"}, Engine: "buildah"},
		{ID: id("bc")},
	}
	if diff := cmp.Diff(want, h.list(root)); diff != "" {
		t.Error(diff)
	}
}

// The configuration of the engines says where the storages are.
func TestPlaces(t *testing.T) {
	const file = "/overlay-containers/containers.json"
	alice := View{UID: 1000, Users: []User{{UID: 1000, Name: "alice", Home: "/home/alice"}}}
	for _, test := range []struct {
		name  string
		view  View
		files map[string]string
		graph string
	}{
		{"usual", root, nil, rootGraph},
		{"shipped", root, map[string]string{
			"usr/share/containers/storage.conf": "[storage]\ngraphroot = \"/srv/c\"\n",
		}, "srv/c"},
		{"the host's own", root, map[string]string{
			"usr/share/containers/storage.conf": "[storage]\ngraphroot = \"/srv/c\"\n",
			"etc/containers/storage.conf":       "[storage]\ngraphroot = \"/srv/d\"\n",
		}, "srv/d"},
		{"drop-in", root, map[string]string{
			"etc/containers/storage.conf":          "[storage]\ngraphroot = \"/srv/d\"\nrunroot = \"/srv/r\"\n",
			"etc/containers/storage.conf.d/9.conf": "[storage]\ngraphroot = \"/srv/e\"\n",
		}, "srv/e"},
		{"not TOML", root, map[string]string{"etc/containers/storage.conf": "["}, rootGraph},
		{"by variable", View{Conf: "/my.conf"}, map[string]string{
			"etc/containers/storage.conf": "[storage]\ngraphroot = \"/srv/d\"\n",
			"my.conf":                     "[storage]\ngraphroot = \"/srv/mine\"\n",
		}, "srv/mine"},
		{"CRI-O's own", root, map[string]string{
			"etc/crio/crio.conf.d/00.conf": "[crio]\nroot = \"/srv/crio\"\n",
		}, "srv/crio"},
		{"a user's usual", alice, map[string]string{
			"etc/containers/storage.conf": "[storage]\ngraphroot = \"/srv/d\"\n",
		}, aliceGraph},
		{"a user's by the host", alice, map[string]string{
			"etc/containers/storage.conf": "[storage]\nrootless_storage_path = \"/scratch/$USER/${UID}$HOME\"\n",
		}, "scratch/alice/1000/home/alice"},
		{"a user's own", alice, map[string]string{
			"home/alice/.config/containers/storage.conf": "[storage]\ngraphroot = \"/home/alice/c\"\n",
		}, "home/alice/c"},
		{
			"a user's data",
			View{UID: 1000, Users: []User{{UID: 1000, Home: "/home/alice", Data: "/data"}}},
			nil,
			"data/containers/storage",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			for name, text := range test.files {
				h.write(name, text)
			}
			h.store(test.graph+file, podmans("aa", "web", 1))
			if list := h.list(test.view); len(list) != 1 || list[0].Name() != "web" || list[0].UID != test.view.UID {
				t.Errorf("%+v", list)
			}
		})
	}
}

// What a user's storage holds costs root nothing but an error: neither time, nor memory, nor files of others.
func TestUsersFiles(t *testing.T) {
	require.Root(t)
	const list = aliceGraph + "/overlay-containers/containers.json"
	secret := func(h host) {
		h.store("secret.json", podmans("55", "secret", 1))
		if err := os.Chmod(h.path("secret.json"), 0o600); err != nil {
			h.Fatal(err)
		}
	}
	in := func(h host) { h.store(list) }
	for _, test := range []struct {
		name string
		make func(h host) error
		want string
	}{
		{"a link to a file of root's", func(h host) error {
			secret(h)
			in(h)
			return errors.Join(os.Remove(h.path(list)), os.Symlink(h.path("secret.json"), h.path(list)))
		}, "permission denied"},
		{"a directory of root's", func(h host) error {
			h.store("root/c/overlay-containers/containers.json", podmans("55", "secret", 1))
			h.write("home/alice/.config/containers/storage.conf", "[storage]\ngraphroot = \"/root/c\"\n")
			return os.Chmod(h.path("root"), 0o700)
		}, ""},
		{"a FIFO", func(h host) error {
			in(h)
			return errors.Join(os.Remove(h.path(list)), unix.Mkfifo(h.path(list), 0o644))
		}, "it is not a regular file"},
		{"a device", func(h host) error {
			in(h)
			return errors.Join(os.Remove(h.path(list)), os.Symlink("/dev/zero", h.path(list)))
		}, "it is not a regular file"},
		{"too large", func(h host) error {
			in(h)
			return os.Truncate(h.path(list), maxFile+1)
		}, "it is larger than 16384 KiB"},
		{"too many", func(h host) error {
			h.write(list, "["+strings.Repeat("{},", maxContainers)+"{}]")
			return nil
		}, "its owner has more than 16384 containers"},
		{"too deep", func(h host) error {
			h.write(list, `[{"names":`+strings.Repeat("[", maxFile/2))
			return nil
		}, "exceeded max depth"},
		{"a deep configuration", func(h host) error {
			h.write("home/alice/.config/containers/storage.conf", "a = "+strings.Repeat("[", maxFile/2))
			return nil
		}, ""},
		{"no array", func(h host) error {
			h.write(list, `{"id":"x"}`)
			return nil
		}, "it is not a JSON array"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.write("home/alice/x", "")
			if err := test.make(h); err != nil {
				t.Fatal(err)
			}
			h.ownHome()
			found, errs := List(View{Root: h.dir, Users: []User{{UID: 1234, GID: 1234, Home: "/home/alice"}}})
			text := fmt.Sprint(errs)
			if len(found) > 0 || (test.want == "") != (len(errs) == 0) || !strings.Contains(text, test.want) {
				t.Errorf("%v, %s", found, text)
			}
		})
	}
}

// Root sees the containers of users, and reads their bundles with the users' rights.
func TestOfUsers(t *testing.T) {
	require.Root(t)
	h := newHost(t)
	h.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1234:1234::/home/alice:/bin/sh\n"+
		"nobody:x:65534:65534::/nonexistent:/bin/false\nbad:x:a:b::/home:/\nshort:x\nagain:x:1234:1::/home/alice:/\n")
	h.store(rootGraph+"/overlay-containers/containers.json", podmans("aa", "web", 1))
	h.store(aliceGraph+"/overlay-containers/containers.json", podmans("ab", "hers", 2), podmans("ac", "linked", 3))
	userdata := func(beginning string) string {
		return aliceGraph + "/overlay-containers/" + id(beginning) + "/userdata"
	}
	h.write(userdata("ab")+"/config.json", "hers")
	h.write("secret", "root's")
	h.write(userdata("ac")+"/x", "")
	err := errors.Join(os.Chmod(h.path("secret"), 0o600),
		os.Symlink(h.path("secret"), h.path(userdata("ac")+"/config.json")))
	if err != nil {
		t.Fatal(err)
	}
	h.ownHome()

	v := View{Root: h.dir, Users: usersOf(h.dir)}
	want := []User{
		{UID: 1234, GID: 1234, Name: "alice", Home: "/home/alice"},
		{UID: 65534, GID: 65534, Name: "nobody", Home: "/nonexistent"},
	}
	if diff := cmp.Diff(want, v.Users); diff != "" {
		t.Error(diff)
	}
	hers, err := Find(v, "hers")
	if err != nil || hers.UID != 1234 || hers.GID != 1234 || hers.Bundle != h.path(userdata("ab")) {
		t.Fatalf("%+v, %v", hers, err)
	}
	if data, err := ReadConfig(hers); err != nil || string(data) != "hers" {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.Truncate(h.path(userdata("ab")+"/config.json"), maxOthersConfig+1); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadConfig(hers); err == nil || data != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	linked, err := Find(v, "linked")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := ReadConfig(linked); err == nil || data != nil {
		t.Errorf("%q, %v", data, err)
	}
	if data, err := ReadConfig(Container{ID: id("aa")}); err == nil || data != nil {
		t.Errorf("%q, %v", data, err)
	}
}

// A user cannot stand in the way of root's own containers by giving others the same names and ids.
func TestFindOwnFirst(t *testing.T) {
	require.Root(t)
	h := newHost(t)
	h.store(rootGraph+"/overlay-containers/containers.json", podmans("ab", "web", 1))
	h.store(aliceGraph+"/overlay-containers/containers.json", podmans("ab", "web", 2), podmans("ac", "hers", 3))
	h.ownHome()
	v := View{Root: h.dir, Users: []User{{UID: 1234, GID: 1234, Home: "/home/alice"}}}
	for name, want := range map[string]int{"web": 0, "ab": 0, id("ab"): 0, "a": 0, "hers": 1234, "ac": 1234} {
		if c, err := Find(v, name); err != nil || c.UID != want {
			t.Errorf("%s: uid %d, %v", name, c.UID, err)
		}
	}
}

// Neither many directories of drivers nor many names make root read or remember more of a user than of one file.
func TestUsersFilesTogether(t *testing.T) {
	require.Root(t)
	h := newHost(t)
	large := podmans("ab", "web", 1)
	large.Metadata = strings.Repeat(" ", maxFile-1<<10)
	for i := range 4 {
		h.store(fmt.Sprintf("%s/d%d-containers/containers.json", aliceGraph, i), large)
	}
	h.ownHome()
	v := View{Root: h.dir, Users: []User{{UID: 1234, GID: 1234, Home: "/home/alice"}}}
	list, errs := List(v)
	if text := fmt.Sprint(errs); len(list) != 1 || strings.Count(text, "other such files") != 2 {
		t.Errorf("%d containers, %.400s", len(list), text)
	}

	few, many := newHost(t), podmans("ab", "web", 1)
	for range 100_000 {
		many.Names = append(many.Names, "")
	}
	for i := range 3 {
		few.store(fmt.Sprintf("%s/d%d-containers/containers.json", aliceGraph, i), many)
	}
	few.ownHome()
	v.Root = few.dir
	list, errs = List(v)
	if len(list) != 1 || cap(list[0].Names) > 2*maxNames || list[0].Name() != "web" || len(errs) > 0 {
		t.Errorf("%d containers, %v", len(list), errs)
	}
}

// A name that a shell would not take as it is, or a program for a flag, is in no command that we suggest.
func TestWord(t *testing.T) {
	for name, want := range map[string]string{
		"web": "web", "": "ab0000000000", "$(reboot)": "ab0000000000", "a b": "ab0000000000", "-f": "ab0000000000",
	} {
		c := Container{ID: id("ab"), Names: []string{name}}
		if got := c.Word(); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}

func TestFind(t *testing.T) {
	h := newHost(t)
	h.store(rootGraph+"/overlay-containers/containers.json", podmans("ab1", "web", 1), podmans("ab2", "ab1", 2),
		podmans("c1", "db", 3), podmans("c2", "evil\x1b[31m\nname", 4), podmans("c3", "same", 5),
		crios("d1", "d9", "k8s_job_p_default_uid-p_2", "job", 6))
	h.store(aliceGraph+"/overlay-containers/containers.json", podmans("c4", "same", 7))
	v := View{Root: h.dir, Users: []User{{UID: os.Getuid(), Home: "/home/alice"}}}
	for name, want := range map[string]string{
		"web": "ab1", "ab1": "ab2", "ab10": "ab1", id("c1"): "c1", "c1": "c1", "job": "d1", "p/job": "d1",
		"default/p/job": "d1", "k8s_job_p_default_uid-p_2": "d1", "evil\x1b[31m\nname": "c2",
	} {
		if c, err := Find(v, name); err != nil || c.ID != id(want) {
			t.Errorf("%q: %s, %v", name, c.ID, err)
		}
	}
	for name, want := range map[string]string{
		"":     `container "": no engine of this host has such a container`,
		"wep":  "container wep: no engine of this host has such a container",
		"same": "container same: 2 containers could be meant: same (podman, c40000000000), same (podman, c30000000000)",
		"c": `container c: 4 containers could be meant: same (podman, c40000000000), same (podman, c30000000000), ` +
			`"evil\x1b[31m\nname" (podman, c20000000000), db (podman, c10000000000)`,
		"x\x1b[2J": `container "x\x1b[2J": no engine of this host has such a container`,
	} {
		_, err := Find(v, name)
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := Find(v, "nothing"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}
