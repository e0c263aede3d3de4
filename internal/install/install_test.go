package install

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestWhatIsInstalled(t *testing.T) {
	conf := map[string]string{"/etc/containers/containers.conf": "[engine]\n"}
	for name, test := range map[string]struct {
		target Target
		host   map[string]string
		files  []string
		advice []string
	}{
		"every engine of a host": {
			host:  conf,
			files: []string{binary, shared, precreate, ofPodman, dropIn},
		},
		"podman alone": {
			target: Target{Engine: "podman"},
			host:   conf,
			files:  []string{binary, shared, precreate, ofPodman, dropIn},
		},
		"a package, whose tree has no configuration of podman": {
			files:  []string{binary, shared, precreate, ofPodman},
			advice: []string{"unmerged " + dropIn + " " + PodmanHooks},
		},
		"CRI-O does not start with a stage that it does not know": {
			target: Target{Engine: "cri-o", Precreate: "/precreate"},
			host:   conf,
			files:  []string{binary, shared},
		},
		"containerd": {
			target: Target{Engine: "containerd", Precreate: "/precreate"},
			host:   conf,
			files:  []string{binary, shared},
		},
		"a directory of the caller's": {
			target: Target{Bin: "/opt/bin", Hooks: "/opt/hooks"},
			host:   conf,
			files:  []string{"/opt/bin/gpu-hook", "/opt/hooks/gpu-hook.json"},
		},
		"a directory of the caller's, in a package": {
			target: Target{Hooks: "/opt/hooks"},
			files:  []string{binary, "/opt/hooks/gpu-hook.json"},
		},
		"two directories of the caller's": {
			target: Target{Hooks: "/opt/hooks", Precreate: "/opt/podman"},
			host:   conf,
			files: []string{
				binary, "/opt/hooks/gpu-hook.json", "/opt/podman/gpu-hook-precreate.json", "/opt/podman/gpu-hook.json",
			},
		},
		"the same directory for both": {
			target: Target{Hooks: "/opt/hooks", Precreate: "/opt/hooks"},
			host:   conf,
			files:  []string{binary, "/opt/hooks/gpu-hook.json", "/opt/hooks/gpu-hook-precreate.json"},
		},
		"a user": {
			target: Target{User: ann()},
			host:   conf,
			files:  []string{userBinary, userShared, userPrecreate, userDropIn},
		},
		"a user, with places of the user's own": {
			target: Target{User: ann(), Bin: "/b", Hooks: "/h", Precreate: "/p"},
			host:   conf,
			files:  []string{"/b/gpu-hook", "/h/gpu-hook.json", "/p/gpu-hook-precreate.json", "/p/gpu-hook.json", userDropIn},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, test.host)
			h.same("changes", h.install(test.target, h.options()), append(prefixed("installed", test.files...), test.advice...))
			h.same("files", h.files(), slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(test.host)), test.files...))))
			h.same("binary", h.read(test.files[0]), "this program")
			for i, path := range test.files {
				info, err := os.Stat(h.path(path))
				h.check(err)
				want := os.FileMode(0o644)
				if i == 0 {
					want = 0o755
				}
				h.same("mode of "+path, info.Mode(), want)
			}
		})
	}
}

// No file names Destdir. Relative places are relative to the working directory.
func TestPlacesAreAbsolute(t *testing.T) {
	h := newHost(t, nil)
	work := t.TempDir()
	t.Chdir(work)
	h.install(Target{Bin: "bin", Hooks: "hooks"}, h.options())
	text := h.read(work + "/hooks/gpu-hook.json")
	if !strings.Contains(text, `"`+work+`/bin/gpu-hook"`) || strings.Contains(text, h.dir) {
		t.Errorf("the definition is %s", text)
	}
}

// The definitions name the engine, the flags of the caller and the variables of a user's podman. Their timeout leaves
// the hook time to undo what it made.
func TestDefinitions(t *testing.T) {
	for name, test := range map[string]struct {
		target  Target
		options Options
		args    map[string][]string
		env     []string
		timeout int
	}{
		"every engine": {
			args: map[string][]string{
				shared:    {"gpu-hook", "createRuntime"},
				ofPodman:  {"gpu-hook", "createRuntime", "--engine", "podman"},
				precreate: {"gpu-hook", "precreate"},
			},
			timeout: 60,
		},
		"one engine, flags and a long timeout": {
			target:  Target{Engine: "cri-o"},
			options: Options{Flags: []string{"--config", "/c"}, Timeout: 45 * time.Second},
			args:    map[string][]string{shared: {"gpu-hook", "--config", "/c", "createRuntime", "--engine", "cri-o"}},
			timeout: 90,
		},
		"a user": {
			target:  Target{User: ann()},
			options: Options{Timeout: time.Second},
			args: map[string][]string{
				userShared:    {"gpu-hook", "createRuntime", "--engine", "podman"},
				userPrecreate: {"gpu-hook", "precreate"},
			},
			env:     []string{"XDG_CONFIG_HOME=/home/ann/xdg"},
			timeout: 60,
		},
		"a user, with two directories": {
			target: Target{User: ann(), Precreate: "/p"},
			args: map[string][]string{
				userShared:                   {"gpu-hook", "createRuntime", "--engine", "podman"},
				"/p/gpu-hook.json":           {"gpu-hook", "createRuntime", "--engine", "podman"},
				"/p/gpu-hook-precreate.json": {"gpu-hook", "precreate"},
			},
			env:     []string{"XDG_CONFIG_HOME=/home/ann/xdg"},
			timeout: 60,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, nil)
			test.options.Program = h.program
			h.install(test.target, test.options)
			for path, args := range test.args {
				var got struct {
					Hook struct {
						Args, Env []string
						Timeout   int
					}
				}
				h.check(json.Unmarshal([]byte(h.read(path)), &got))
				h.same("args of "+path, got.Hook.Args, args)
				h.same("timeout of "+path, got.Hook.Timeout, test.timeout)
				if !strings.HasPrefix(got.Hook.Env[0], "PATH=") {
					t.Errorf("%s has no PATH: %s", path, got.Hook.Env)
				}
				h.same("env of "+path, append([]string(nil), got.Hook.Env[1:]...), test.env)
			}
		})
	}
}

// A second Install replaces what the first has written, and changes nothing else.
func TestInstallAgain(t *testing.T) {
	for name, target := range map[string]Target{"host": {}, "user": {User: ann()}} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, map[string]string{
				"/etc/containers/containers.conf":             "[engine]\nhooks_dir = [\"/mine\"]\n",
				SystemHooks + "/other.json":                   "another hook",
				"/home/ann/xdg/containers/oci/hooks.d/o.json": "another hook",
			})
			first := h.install(target, h.options())
			files, texts := h.files(), map[string]string{}
			for _, f := range files {
				texts[f] = h.read(f)
			}
			h.check(os.WriteFile(h.program, []byte("a newer program"), 0o600))
			h.same("changes", h.install(target, h.options()), first)
			h.same("files", h.files(), files)
			for _, f := range files {
				if want := texts[f]; want == "this program" {
					h.same(f, h.read(f), "a newer program")
				} else {
					h.same(f, h.read(f), want)
				}
			}
		})
	}
}

// Without Destdir the existing configuration of podman is complete. So the drop-in is written even if it is the first
// file of it.
func TestInstallOnAHost(t *testing.T) {
	require.Root(t)
	for name, target := range map[string]Target{"every engine": {}, "a user": {User: ann()}} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, map[string]string{"/program": "this program"})
			var installed, removed []Change
			h.check(inRoot(h.dir, func() (err error) {
				if installed, err = Install(target, Options{Program: "/program"}); err != nil {
					return err
				}
				removed, err = Uninstall(target, Options{Program: "/program"})
				return err
			}))
			want := map[bool][]string{
				true:  {binary, shared, precreate, ofPodman, dropIn},
				false: {userBinary, userShared, userPrecreate, userDropIn},
			}[target.User == nil]
			h.same("changes", h.words(installed), prefixed("installed", want...))
			h.same("number of removals", len(removed), len(want))
			h.same("files", h.files(), []string{"/program"})
		})
	}
}

// Install replaces a file that was changed by hand.
func TestInstallReplacesChangedFiles(t *testing.T) {
	h := newHost(t, nil)
	h.install(Target{}, h.options())
	want := h.read(shared)
	h.write(shared, "changed")
	h.install(Target{}, h.options())
	h.same("definition", h.read(shared), want)
}

// A symbolic link at a file's path is replaced. The file that it points to does not change.
func TestInstallReplacesLinks(t *testing.T) {
	paths := []string{binary, shared, precreate, ofPodman, dropIn}
	h := newHost(t, map[string]string{"/etc/containers/containers.conf": "", "/precious": "precious"})
	for _, path := range paths {
		h.link("/precious", path)
	}
	h.install(Target{}, h.options())
	h.same("what the links pointed to", h.read("/precious"), "precious")
	for _, path := range paths {
		info, err := os.Lstat(h.path(path))
		h.check(err)
		if !info.Mode().IsRegular() {
			t.Errorf("%s is %s", path, info.Mode())
		}
	}
}

// A file that cannot be written is an E-INSTALL with a hint. Neither a temporary file is left nor what was written
// before it, which the error names.
func TestFailedInstall(t *testing.T) {
	for name, test := range map[string]struct {
		target Target
		spoil  func(h *host)
		what   string
		files  []string
		text   string
	}{
		"a file where a directory is needed": {
			spoil: func(h *host) { h.write("/usr/local/bin", "a file") },
			what:  binary, files: []string{"/usr/local/bin"},
			text: binary + ": mkdir /usr/local/bin: not a directory",
		},
		"a directory where the binary belongs": {
			spoil: func(h *host) { h.write(binary+"/file", "") },
			what:  binary, files: []string{binary + "/file"},
			text: binary + ": is a directory",
		},
		"a directory where the definition belongs": {
			spoil: func(h *host) { h.write(shared+"/file", "") },
			what:  shared, files: []string{shared + "/file"},
			text: shared + ": is a directory; taken back: " + binary,
		},
		"no program": {
			spoil: func(h *host) { h.check(os.Remove(h.program)) },
			what:  binary,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, nil)
			test.spoil(h)
			test.target.Destdir = h.dir
			changes, err := Install(test.target, h.options())
			e := fault.From(err)
			if e == nil || e.Code() != fault.Install || e.Hint() == "" {
				t.Fatalf("the error is %v", err)
			}
			h.same("what", strings.TrimPrefix(e.What(), h.dir), test.what)
			if text := strings.ReplaceAll(e.Error(), h.dir, ""); test.text != "" && text != test.text {
				t.Errorf("the error is %q, want %q", text, test.text)
			}
			h.same("changes", h.words(changes), []string(nil))
			h.same("files", h.files(), test.files)
		})
	}
}

func TestCurrentUser(t *testing.T) {
	for name, test := range map[string]struct {
		home, config string
		user         *User // nil for an E-INSTALL
		hooks        string
	}{
		"by default":                      {"/h", "", &User{"/h", "/h/.config"}, "/h/.config/containers/oci/hooks.d"},
		"with XDG_CONFIG_HOME":            {"/h", "/x", &User{"/h", "/x"}, "/x/containers/oci/hooks.d"},
		"no home directory":               {"", "/x", nil, "/x/containers/oci/hooks.d"},
		"neither":                         {"", "", nil, ""},
		"a configuration nobody can find": {"/h", "relative", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOME", test.home)
			t.Setenv("XDG_CONFIG_HOME", test.config)
			user, err := CurrentUser()
			if d := cmp.Diff(test.user, user); d != "" || (user == nil) != fault.Is(err, fault.Install) {
				t.Errorf("%v, %s", err, d)
			}
			hooks, err := UserHooks()
			if (err == nil && hooks != test.hooks) || (test.hooks == "") != fault.Is(err, fault.Install) {
				t.Errorf("hooks are in %s: %v", hooks, err)
			}
		})
	}
}
