package nvidia

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/contract"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// installed is a host with a toolkit in a directory of its own; config is the administrator's, with @ for the
// directory, or "" for none.
func installed(t *testing.T, config string) (Toolkit, string) {
	t.Helper()
	top := t.TempDir()
	for _, dir := range []string{top, top + "/driver", top + "/driver/usr", top + "/driver/usr/bin"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"nvidia-container-runtime-hook":       "",
		"cli":                                 "",
		"driver/usr/bin/nvidia-container-cli": "",
		"config.toml":                         config,
	} {
		if name == "config.toml" && config == "" {
			continue
		}
		path := filepath.Join(top, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "@", top)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Toolkit{
		Hook:   top + "/nvidia-container-runtime-hook",
		Config: top + "/config.toml",
		Owner:  trust.Owner{UID: uint32(os.Getuid())},
	}, top
}

const withCLI = "nvidia-container-cli.path = '@/cli'\n"

func container(process *specs.Process) *state.Container {
	return &state.Container{Spec: &specs.Spec{
		Version: "1.0.2", Process: process, Root: &specs.Root{Path: "rootfs"},
		Mounts: []specs.Mount{{Destination: "/var/run/nvidia-container-devices/all"}}, Hostname: "h",
	}}
}

func TestDelegate(t *testing.T) {
	admin := &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_ADMIN"}}
	everything := []string{
		"NVIDIA_VISIBLE_DEVICES=none",
		"NVIDIA_DRIVER_CAPABILITIES=utility",
		"NVIDIA_IMEX_CHANNELS=3,4",
		"NVIDIA_MIG_CONFIG_DEVICES=all",
		"NVIDIA_MIG_MONITOR_DEVICES=1",
		"NVIDIA_DISABLE_REQUIRE=1",
	}
	for _, test := range []struct {
		name    string
		request Request
		env     []string
		process specs.Process
	}{
		{
			"ids for the container's own word",
			Request{
				Container: container(&specs.Process{
					User: specs.User{UID: 7}, Args: []string{"sh"}, Cwd: "/w", Capabilities: admin,
					Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}},
					Env: []string{
						"A=1",
						"NVIDIA_VISIBLE_DEVICES=all",
						"NVIDIA_VISIBLE_DEVICES",
						"NVIDIA_VISIBLE_DEVICES_X=1",
						"BARE",
						"NVIDIA_DRIVER_CAPABILITIES=graphics",
						"NVIDIA_VISIBLE_DEVICES=void",
						"EMPTY=",
					},
				}),
				Root: "/r", IDs: []string{"0", "GPU-1"}, Capabilities: []string{"compute", "utility"}, Variable: VisibleDevices,
			},
			[]string{"NVIDIA_VISIBLE_DEVICES=0,GPU-1", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"},
			specs.Process{
				User: specs.User{UID: 7}, Args: []string{"sh"}, Cwd: "/w", Capabilities: admin,
				Env: []string{
					"A=1",
					"NVIDIA_VISIBLE_DEVICES_X=1",
					"EMPTY=",
					"NVIDIA_VISIBLE_DEVICES=0,GPU-1",
					"NVIDIA_DRIVER_CAPABILITIES=compute,utility",
				},
			},
		},
		{
			"what was not granted does not ask again",
			Request{
				Container: container(&specs.Process{Env: []string{
					"NVIDIA_DRIVER_CAPABILITIES=graphics",
					"NVIDIA_IMEX_CHANNELS=1",
					"NVIDIA_MIG_CONFIG_DEVICES=all",
					"NVIDIA_MIG_MONITOR_DEVICES=all",
					"NVIDIA_REQUIRE_CUDA=cuda>=12",
					"CUDA_VERSION=12.0",
				}}),
				Root: "/r", IDs: []string{"all"}, Variable: VisibleDevices,
			},
			[]string{"NVIDIA_VISIBLE_DEVICES=all"},
			specs.Process{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda>=12", "CUDA_VERSION=12.0", "NVIDIA_VISIBLE_DEVICES=all"}},
		},
		{
			"all that can be granted, without a device",
			Request{
				Container:    container(&specs.Process{Env: []string{"NVIDIA_IMEX_CHANNELS=1", "NVIDIA_MIG_CONFIG_DEVICES=0"}}),
				Root:         "/r",
				Variable:     VisibleDevices,
				Capabilities: []string{"utility"},
				Channels:     []string{"3", "4"},
				MIGConfig:    "all",
				MIGMonitor:   "1",
				NoRequire:    true,
			},
			everything,
			specs.Process{Env: everything},
		},
		{
			"no process",
			Request{Container: container(nil), Root: "/r", IDs: []string{"0"}, Variable: VisibleDevices},
			[]string{"NVIDIA_VISIBLE_DEVICES=0"},
			specs.Process{Env: []string{"NVIDIA_VISIBLE_DEVICES=0"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			toolkit, _ := installed(t, withCLI)
			before, err := json.Marshal(test.request.Container.Spec)
			if err != nil {
				t.Fatal(err)
			}
			got, err := toolkit.Delegate(test.request)
			if err != nil {
				t.Fatal(err)
			}
			var spec specs.Spec
			if err := json.Unmarshal(got.Files["config.json"], &spec); err != nil {
				t.Fatal(err)
			}
			wantSpec := specs.Spec{Version: "1.0.2", Process: &test.process, Root: &specs.Root{Path: "/r"}}
			if diff := cmp.Diff(wantSpec, spec); diff != "" {
				t.Error(diff)
			}
			after, _ := json.Marshal(test.request.Container.Spec)
			if diff := cmp.Diff(string(before), string(after)); diff != "" {
				t.Errorf("the container's spec was changed: %s", diff)
			}
			want := &contract.Delegation{
				Path:    toolkit.Hook,
				Args:    []string{"nvidia-container-runtime-hook", "-config", "config.toml", "prestart"},
				Env:     test.env,
				Program: test.env[:min(2, len(test.env))], // the devices and, where there are any, the driver capabilities
				Files:   map[string][]byte{"config.json": got.Files["config.json"], "config.toml": got.Files["config.toml"]},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// pinned is what holds in every private config.toml.
func pinned(cli string, more map[string]any) map[string]any {
	config := map[string]any{
		"swarm-resource": "",
		"accept-nvidia-visible-devices-envvar-when-unprivileged": true,
		"accept-nvidia-visible-devices-as-volume-mounts":         false,
		"nvidia-container-runtime":                               map[string]any{"mode": "legacy"},
		"nvidia-container-cli":                                   map[string]any{"no-cgroups": true, "path": cli},
	}
	for key, value := range more {
		table, _ := config[key].(map[string]any)
		values, ok := value.(map[string]any)
		if table == nil || !ok {
			config[key] = value
			continue
		}
		for k, v := range values {
			table[k] = v
		}
	}
	return config
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		name, config, cli string
		more              map[string]any
	}{
		{"the path alone", withCLI, "@/cli", nil},
		{
			"the administrator's word on all else", `
swarm-resource = "DOCKER_RESOURCE_GPU"
accept-nvidia-visible-devices-envvar-when-unprivileged = true
accept-nvidia-visible-devices-as-volume-mounts = true
disable-require = true
supported-driver-capabilities = "compute,utility"
unknown = [1, 2]
[nvidia-container-cli]
path = "@/cli"
root = "/run/nvidia/driver"
ldconfig = "@/sbin/ldconfig.real"
no-cgroups = false
environment = ["A=1"]
[nvidia-container-runtime]
mode = "cdi"
log-level = "debug"
[nvidia-container-runtime.modes.legacy]
cuda-compat-mode = "mount"
[nvidia-container-runtime-hook]
skip-mode-detection = false
[features]
disable-imex-channel-creation = true
`, "@/cli", map[string]any{
				"disable-require": true, "supported-driver-capabilities": "compute,utility", "unknown": []any{int64(1), int64(2)},
				"nvidia-container-cli": map[string]any{
					"root": "/run/nvidia/driver", "ldconfig": "@/sbin/ldconfig.real", "environment": []any{"A=1"},
				},
				"nvidia-container-runtime": map[string]any{
					"log-level": "debug",
					"modes":     map[string]any{"legacy": map[string]any{"cuda-compat-mode": "mount"}},
				},
				"nvidia-container-runtime-hook": map[string]any{"skip-mode-detection": false},
				"features":                      map[string]any{"disable-imex-channel-creation": true},
			},
		},
		{
			"found below the driver's root",
			"nvidia-container-cli.root = '@/driver'",
			"@/driver/usr/bin/nvidia-container-cli",
			map[string]any{"nvidia-container-cli": map[string]any{"root": "@/driver"}},
		},
		{
			"the path before the driver's root",
			"[nvidia-container-cli]\nroot = '@/driver'\npath = '@/cli'\n",
			"@/cli",
			map[string]any{"nvidia-container-cli": map[string]any{"root": "@/driver"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			toolkit, top := installed(t, test.config)
			got, err := toolkit.Delegate(Request{
				Container: container(&specs.Process{}), Root: "/r", IDs: []string{"0"}, Variable: VisibleDevices,
			})
			if err != nil {
				t.Fatal(err)
			}
			var config map[string]any
			if _, err := toml.Decode(strings.ReplaceAll(string(got.Files["config.toml"]), top, "@"), &config); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(pinned(test.cli, test.more), config); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAcceptEnvironment(t *testing.T) {
	const off = "accept-nvidia-visible-devices-envvar-when-unprivileged = false\n"
	for _, test := range []struct {
		name, config        string
		fromEnv, privileged bool
		want                bool
	}{
		{"by default", withCLI, true, false, true},
		{"off", off + withCLI, true, false, false},
		{"off, privileged", off + withCLI, true, true, true},
		{"off, asked for otherwise", off + withCLI, false, false, true},
		{"on", strings.Replace(off, "false", "true", 1) + withCLI, true, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			toolkit, _ := installed(t, test.config)
			process := &specs.Process{Capabilities: &specs.LinuxCapabilities{}}
			if test.privileged {
				process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"}
			}
			_, err := toolkit.Delegate(Request{
				Container: container(process),
				Root:      "/r",
				IDs:       []string{"0"},
				FromEnv:   test.fromEnv,
				Variable:  VisibleDevices,
			})
			want := toolkit.Config + ": accept-nvidia-visible-devices-envvar-when-unprivileged is false, and this container " +
				"is not privileged"
			if (err == nil) != test.want || (err != nil && (!fault.Is(err, fault.Policy) || err.Error() != want)) {
				t.Error(err)
			}
		})
	}
}

func TestDelegateRefuses(t *testing.T) {
	require.Root(t)
	const stranger = 65534
	remove := func(name string) func(string) error {
		return func(top string) error { return os.Remove(top + name) }
	}
	give := func(name string) func(string) error {
		return func(top string) error { return os.Chown(top+name, stranger, stranger) }
	}
	mode := func(name string, mode uint32) func(string) error {
		return func(top string) error { return unix.Chmod(top+name, mode) }
	}
	const hook, cli, config = "/nvidia-container-runtime-hook", "/cli", "/config.toml"
	for _, test := range []struct {
		name   string
		config string
		change func(top string) error
		code   fault.Code
		err    string
	}{
		{"no hook", withCLI, remove(hook), fault.Delegate, "@/nvidia-container-runtime-hook: it is not installed"},
		{
			"a stranger's hook", withCLI, give(hook), fault.Trust,
			"@/nvidia-container-runtime-hook: not trusted: it is owned by uid 65534",
		},
		{
			"a hook that is not executable", withCLI, mode(hook, 0o644), fault.Trust,
			"@/nvidia-container-runtime-hook: not trusted: it is not executable",
		},
		{"a stranger's directory", withCLI, give(""), fault.Trust, "@: not trusted: the directory is owned by uid 65534"},
		{"no cli", withCLI, remove(cli), fault.Delegate, "@/cli: it is not installed"},
		{"a stranger's cli", withCLI, give(cli), fault.Trust, "@/cli: not trusted: it is owned by uid 65534"},
		{
			"a cli by name", "nvidia-container-cli.path = 'cli'", nil, fault.Trust,
			`"cli": not trusted: the path is not absolute and clean`,
		},
		{
			"a stranger's cli below the driver's root",
			"nvidia-container-cli.root = '@/driver'", give("/driver/usr/bin/nvidia-container-cli"), fault.Trust,
			"@/driver/usr/bin/nvidia-container-cli: not trusted: it is owned by uid 65534",
		},
		{
			"a stranger's configuration", withCLI, give(config), fault.Trust,
			"@/config.toml: not trusted: it is owned by uid 65534",
		},
		{
			"a configuration that others may write", withCLI, mode(config, 0o666), fault.Trust,
			"@/config.toml: not trusted: it is writable by group or others (mode 0666)",
		},
		{"no TOML", "x", nil, fault.Config, "@/config.toml: toml: line 1: "},
		{
			"a table that is none", withCLI + "nvidia-container-runtime = 'legacy'", nil, fault.Config,
			"@/config.toml: nvidia-container-runtime is not a table",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			toolkit, top := installed(t, test.config)
			toolkit.Owner = trust.Root()
			if test.change != nil {
				if err := test.change(top); err != nil {
					t.Fatal(err)
				}
			}
			got, err := toolkit.Delegate(Request{
				Container: container(&specs.Process{}), Root: "/r", IDs: []string{"0"}, Variable: VisibleDevices,
			})
			want := strings.ReplaceAll(test.err, "@", top)
			if !fault.Is(err, test.code) || !strings.HasPrefix(err.Error(), want) ||
				(err.Error() != want && !strings.HasSuffix(want, ": ")) ||
				fault.From(err).Hint() == "" || got != nil {
				t.Errorf("got %v\nwant %s %s", err, test.code, want)
			}
			found := toolkit.Found()
			if !strings.Contains(test.name, "is none") && (found == nil || found.Error() != err.Error()) {
				t.Errorf("Found gives %v", found)
			}
		})
	}
}

func TestSupportedCapabilities(t *testing.T) {
	for _, test := range []struct{ name, supported, err string }{
		{"not said", "", ""},
		{"all", "supported-driver-capabilities = 'all'\n", ""},
		{"enough", "supported-driver-capabilities = 'utility,compute,video'\n", ""},
		{
			"less", "supported-driver-capabilities = 'utility'\n",
			`: driver capability "compute" is not supported on this host; supported: utility`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			toolkit, _ := installed(t, test.supported+withCLI)
			_, err := toolkit.Delegate(Request{
				Container:    container(&specs.Process{}),
				IDs:          []string{"0"},
				Capabilities: []string{"compute", "utility"},
				Variable:     VisibleDevices,
			})
			if (err == nil) != (test.err == "") ||
				(err != nil && (!fault.Is(err, fault.Policy) || err.Error() != toolkit.Config+test.err)) {
				t.Error(err)
			}
		})
	}
}

// Another vendor's hook has no configuration and no cli to look for.
func TestAnotherVendor(t *testing.T) {
	toolkit, _ := installed(t, "")
	toolkit.Config = ""
	got, err := toolkit.Delegate(Request{
		Container: container(&specs.Process{Env: []string{"NVIDIA_VISIBLE_DEVICES=all", "ACME=x"}}),
		Root:      "/r",
		IDs:       []string{"0"},
		Variable:  "ACME",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &contract.Delegation{
		Path:    toolkit.Hook,
		Args:    []string{"nvidia-container-runtime-hook", "prestart"},
		Env:     []string{"ACME=0"},
		Program: []string{"ACME=0"},
		Files: map[string][]byte{"config.json": []byte(
			`{"ociVersion":"1.0.2",` +
				`"process":{"user":{"uid":0,"gid":0},"env":["ACME=0"],"cwd":""},` +
				`"root":{"path":"/r"}}`,
		)},
	}
	if diff := cmp.Diff(want, got); diff != "" || toolkit.Found() != nil {
		t.Error(toolkit.Found(), diff)
	}
}

func TestNoCLI(t *testing.T) {
	if path, err := exec.LookPath("nvidia-container-cli"); err == nil {
		require.Missing(t, "this test needs a host without %s", path)
	}
	for _, test := range []struct{ name, root, looked string }{
		{"no root", "", "/usr/local/sbin, /usr/local/bin, /usr/sbin, /usr/bin, /sbin, /bin"},
		{"the host's root", "/", "/usr/local/sbin, /usr/local/bin, /usr/sbin, /usr/bin, /sbin, /bin"},
		{"another", "/nowhere", "/nowhere/usr/local/sbin, /nowhere/usr/local/bin, /nowhere/usr/sbin, /nowhere/usr/bin, " +
			"/nowhere/sbin, /nowhere/bin, /usr/local/sbin, /usr/local/bin, /usr/sbin, /usr/bin, /sbin, /bin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Toolkit{}.findCLI(map[string]any{"nvidia-container-cli": map[string]any{"root": test.root}})
			want := "nvidia-container-cli: it is not installed (looked in " + test.looked + ")"
			if got != "" || !fault.Is(err, fault.Delegate) || err.Error() != want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// Without the administrator's file NVIDIA's defaults hold.
func TestNoConfig(t *testing.T) {
	toolkit, _ := installed(t, "")
	if config, err := toolkit.readConfig(); err != nil || len(config) > 0 {
		t.Errorf("got %v, %v", config, err)
	}
}
