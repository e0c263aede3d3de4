package hosts

func requestHosts() []host {
	annotated := func(v ...string) ask { return ask{annotations: v} }
	gpus := func(v string) *ask { return &ask{annotations: []string{"gpu-hook/gpus=" + v}} }
	env := func(v string) ask { return ask{env: []string{"NVIDIA_VISIBLE_DEVICES=" + v}} }
	return []host{
		{
			name: "asked: more GPUs than there are", ask: annotated("gpu-hook/gpus=3"), mistake: true, want: "nvidia0 nvidia1",
			cause: []string{"asked for 3, this host has 2"}, steps: []step{{words: "no more than", ask: gpus("2")}},
		},
		{
			name: "asked: a GPU that is not there", ask: env("7"), mistake: true, cause: []string{"has: 0, 1, all"},
			steps: []step{{words: "ask for one of these names", ask: &ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}}},
		},
		{
			name: "asked: a UUID that is not there", ask: env("GPU-ffffffff-1111-2222-3333-444455556666"), mistake: true,
			cause: []string{"UUID"},
			steps: []step{{words: "nvidia-smi -L", ask: &ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}}},
		},
		{
			name: "asked: by another key, gpu",
			ask:  annotated("gpu-hook/gpu=1"), mistake: true, cause: []string{"gpu-hook/gpus"},
			steps: []step{{words: "gpu-hook/gpus", ask: gpus("1")}},
		},
		{
			name: "asked: by another prefix, gpuhook",
			ask:  annotated("gpuhook/gpus=1"), mistake: true, cause: []string{"gpu-hook/gpus"},
			steps: []step{{words: "gpu-hook/gpus", ask: gpus("1")}},
		},
		{
			name: "asked: in broken JSON",
			ask:  annotated(`gpu-hook/gpus=[{"Count": 1,}]`), mistake: true, cause: []string{"JSON"},
			steps: []step{{words: "", ask: gpus("1")}},
		},
		{
			name: "asked: devices=0", ask: annotated("gpu-hook/gpus=devices=0"), mistake: true, cause: []string{"devices"},
			steps: []step{{words: "device", ask: gpus("device=0")}},
		},
		{
			name: "asked: a misspelt kind", share: true, ask: annotated("cdi.k8s.io/x=nvidia.com/gpus=0"), mistake: true,
			cause: []string{"nvidia.com/gpus"},
			steps: []step{{words: `nvidia.com/gpu=0`, ask: &ask{annotations: []string{"cdi.k8s.io/x=nvidia.com/gpu=0"}}}},
		},
		{
			name: "asked: CDI's annotation without a kind", ask: annotated("cdi.k8s.io/x=all"), mistake: true,
			cause: []string{"all"}, want: "nvidia0 nvidia1",
			steps: []step{{words: `nvidia.com/gpu=all`, ask: &ask{annotations: []string{"cdi.k8s.io/x=nvidia.com/gpu=all"}}}},
		},
		{
			name: "asked: by another prefix of CDI, cdi.k8s", ask: annotated("cdi.k8s/x=nvidia.com/gpu=0"), mistake: true,
			cause: []string{"cdi.k8s.io"},
			steps: []step{{words: `cdi.k8s.io`, ask: &ask{annotations: []string{"cdi.k8s.io/x=nvidia.com/gpu=0"}}}},
		},
		{
			name: "asked: NVIDIA_VISIBLE_DEVICE", ask: ask{env: []string{"NVIDIA_VISIBLE_DEVICE=0"}}, mistake: true,
			cause: []string{"NVIDIA_VISIBLE_DEVICES"},
			steps: []step{{words: "NVIDIA_VISIBLE_DEVICES", ask: &ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}}},
		},
		{
			name: "asked: al", ask: env("al"), mistake: true, cause: []string{"al"}, want: "nvidia0 nvidia1",
			steps: []step{{words: "all", ask: &ask{env: []string{"NVIDIA_VISIBLE_DEVICES=all"}}}},
		},
		{
			name: "asked: two things at once", ask: ask{
				env: []string{"NVIDIA_VISIBLE_DEVICES=0"}, annotations: []string{"gpu-hook/gpus=none"},
			}, mistake: true, cause: []string{"gpu-hook/gpus"},
			steps: []step{{words: "", ask: gpus("1")}},
		},
	}
}

func containerHosts() []host {
	with := func(flags ...string) ask { return ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0"}, flags: flags} }
	return []host{
		{name: "asked: with a read-only root", ask: with("--read-only"), mistake: true, serves: true},
		{
			name: "asked: with a volume over the libraries", blind: true, mistake: true, breaks: "mkdir -p /srv/volume",
			ask:   with("--volume", "/srv/volume:/usr/lib/x86_64-linux-gnu"),
			cause: []string{"/usr/lib/x86_64-linux-gnu", "volume"},
			steps: []step{{words: "volume", ask: &ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}}},
		},
		{
			name: "another vendor's Spec is broken", breaks: "echo '{' >/etc/cdi/amd.json", serves: true,
			cause: []string{"/etc/cdi/amd.json"},
		},
		{
			name: "asked: with half of the driver", mistake: true, serves: true, ask: ask{
				env: []string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute"},
			},
		},
		{
			name: "asked: with a volume over a node", mistake: true, breaks: "touch /srv/file",
			ask: with("--volume", "/srv/file:/dev/nvidia0"), cause: []string{"/dev/nvidia0"},
			steps: []step{{words: "", ask: &ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}}},
		},
	}
}
