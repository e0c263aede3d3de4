package checkup

import "strings"

// askedHosts are hosts whose programs say what is wrong.
func askedHosts() []broken {
	newer := func(version string) tree {
		return healthy().with(tree{specFile: strings.Replace(spec(loaded, common(), 0, 1), "0.5.0", version, 1)})
	}
	podman := func(version string) map[string]string {
		return map[string]string{"/usr/bin/podman --version": "podman version " + version}
	}
	hook := healthy().with(tree{
		"/usr/bin/nvidia-container-runtime-hook": program, "/usr/bin/nvidia-container-cli": program,
	})
	const version = "/usr/bin/nvidia-container-runtime-hook --version"
	const info = "/usr/bin/nvidia-container-cli info"
	const why = "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1"
	return []broken{
		{name: "healthy, with a podman that reads its Spec", tree: newer("0.5.0"), said: podman("4.3.1")},
		{name: "healthy, with a newer podman and a newer Spec", tree: newer("0.8.0"), said: podman("5.4.2")},
		{name: "healthy, with a podman of which nothing is known", tree: newer("1.0.0"), said: podman("6.1.0-dev")},
		{name: "healthy, with a podman that does not answer", tree: newer("1.0.0"), said: map[string]string{}},
		{
			name: "the Spec is too new for podman's own option", tree: newer("0.6.0"), said: podman("4.3.1"),
			cause: specFile + " is of CDI version 0.6.0, and podman 4.3.1 reads 0.5.0 at most",
			fix:   "podman run --annotation gpu-hook/gpus=all", warns: true,
		},
		{
			name: "a Spec of version 1", tree: newer("1.0.0"), said: podman("5.4.0"),
			cause: "podman 5.4.0 reads 0.8.0 at most", fix: "upgrade podman", warns: true,
		},
		{
			name: "a Spec with a null element", tree: healthy().with(tree{
				"/etc/cdi/acme.yaml": "cdiVersion: \"0.5.0\"\nkind: acme.com/npu\ndevices:\n- name: a\n  containerEdits:\n" +
					"    mounts: [null]\n",
			}), cause: "mounts[0] is null", fix: "write it again with its vendor's tool",
		},
		{
			name: "a Spec ends podman in a panic", tree: healthy().with(tree{
				"/etc/cdi/acme.yaml": "cdiVersion: \"0.5.0\"\nkind: acme.com/x\ndevices:\n- name: a\n  containerEdits:\n" +
					"    env: [A=b]\n",
			}), said: podman("4.3.1"), cause: "/etc/cdi/acme.yaml defines acme.com/x: with a name of one letter",
			fix: "a longer name", warns: true,
		},
		{name: "healthy, with NVIDIA's hook that works", tree: hook, said: map[string]string{
			info:    "NVRM version:   580.65.06",
			version: "NVIDIA Container Runtime Hook version 1.19.1\ncommit: x",
		}},
		{name: "NVIDIA's hook says that it has a vulnerability", tree: hook, said: map[string]string{
			version: "NVIDIA Container Runtime Hook version 1.17.8\ncommit: x",
		}, cause: "nvidia-container-runtime-hook is of version 1.17.8", fix: "--only-upgrade", warns: true},
		{
			name: "NVIDIA's hook does not work, and CDI serves", tree: hook, said: map[string]string{info: "!" + why},
			cause: "runs /usr/bin/nvidia-container-cli, which fails: initialization error",
			fix:   "nothing, where CDI serves", warns: true,
		},
		{
			name: "NVIDIA's hook does not work, and nothing else serves", tree: hook.with(tree{specFile: ""}),
			said: map[string]string{info: "!" + why}, cause: "runs /usr/bin/nvidia-container-cli, which fails",
			fix: "nvidia-ctk cdi generate --output=" + specFile,
		},
	}
}
