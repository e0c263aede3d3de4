package checkup

import "github.com/gpu-hook/gpu-hook/hook/checkup/facts"

// readOnlyHosts are hosts on which install has put the definitions into /etc, because /usr is read-only.
func readOnlyHosts() []broken {
	ostree := healthy().with(tree{
		sharedDir + "/gpu-hook.json": "", podmanDir + "/gpu-hook.json": "", podmanDir + "/gpu-hook-precreate.json": "",
		facts.AdminHooks + "/gpu-hook.json":                 healthy()[sharedDir+"/gpu-hook.json"],
		facts.AdminPodmanHooks + "/gpu-hook.json":           healthy()[podmanDir+"/gpu-hook.json"],
		facts.AdminPodmanHooks + "/gpu-hook-precreate.json": healthy()[podmanDir+"/gpu-hook-precreate.json"],
		dropIn: "[engine]\nhooks_dir = [\"" + sharedDir + "\", \"" + facts.AdminPodmanHooks + "\"]\n",
	})
	crio := ostree.with(tree{"/usr/bin/podman": "", "/usr/bin/crio": program})
	return []broken{
		{name: "healthy, with a read-only /usr", tree: ostree},
		{name: "healthy, with a read-only /usr and CRI-O", tree: crio.with(tree{
			"/etc/crio/crio.conf.d/00-default": "[crio.runtime]\nhooks_dir = [\"" + facts.AdminHooks + "\"]\n",
		})},
		{
			name: "a read-only /usr, and the drop-in is missing", tree: ostree.with(tree{dropIn: ""}),
			cause: "podman never calls gpu-hook", fix: "gpu-hook install",
		},
		{
			name: "a read-only /usr, and CRI-O does not read /etc", tree: crio,
			cause: "cri-o never calls gpu-hook",
			fix: "hooks_dir = [\"" + sharedDir + "\", \"" + facts.AdminHooks + "\"]\\n' " +
				">/etc/crio/crio.conf.d/99-zz-gpu-hook.conf && systemctl restart crio",
		},
		{name: "a read-only /usr, and podman's definition matches nothing", tree: ostree.with(tree{
			facts.AdminPodmanHooks + "/gpu-hook.json": `{"version": "1.0.0", "hook": {"path": "/usr/local/bin/gpu-hook",
 "args": ["gpu-hook", "createRuntime"]}, "when": {"always": false}, "stages": ["createRuntime"]}`,
		}), cause: "holds for no container", fix: "gpu-hook install"},
	}
}
