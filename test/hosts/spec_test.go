package hosts

import "github.com/gpu-hook/gpu-hook/test/gpuhost"

const spec = "/etc/cdi/nvidia.yaml"

func specHosts() []host {
	uuid := ask{env: []string{"NVIDIA_VISIBLE_DEVICES=" + gpuhost.UUID(1)}}
	return []host{
		{name: "there is no Spec", breaks: "rm " + spec, cause: []string{"nvidia.com/gpu"}, found: []string{"Spec"}},
		{
			name: "there is no Spec, and no nvidia-ctk",
			breaks: "rm " + spec + ` && ctk=/var/lib/packages/nvidia-container-toolkit-base
mkdir -p $ctk/usr/bin && mv /usr/bin/nvidia-ctk /usr/bin/nvidia-cdi-hook $ctk/usr/bin/`,
			cause: []string{"nvidia.com/gpu"}, found: []string{"Spec"},
			steps: []step{{words: "install the package ([a-z-]+), then: (.*)", command: "apt-get install $1 && $2"}},
		},
		{
			name: "the Spec ends in .yml", breaks: "mv " + spec + " /etc/cdi/nvidia.yml",
			cause: []string{"/etc/cdi/nvidia.yml"},
		},
		{
			name: "the Spec is a backup", breaks: "mv " + spec + " " + spec + ".bak",
			cause: []string{spec + ".bak"},
		},
		{name: "others may write the Spec", breaks: "chmod 666 " + spec, cause: []string{spec, "writable"}},
		{
			name: "others may write the Specs' directory", breaks: "chmod 777 /etc/cdi",
			cause: []string{"/etc/cdi", "writable"},
		},
		{name: "the Spec is a user's", breaks: "chown 1000 " + spec, cause: []string{spec, "1000"}},
		{
			name: "the Spec is of an unknown version", breaks: "sed -i 's/^cdiVersion:.*/cdiVersion: 9.9.9/' " + spec,
			serves: true, cause: []string{spec, "9.9.9"},
		},
		{
			name: "the Spec is cut off", breaks: "head -c 300 " + spec + " >/etc/cdi/x && mv /etc/cdi/x " + spec,
			cause: []string{spec},
		},
		{name: "the Spec is not YAML", breaks: "sed -i '3s/^/\\t{/' " + spec, cause: []string{spec}},
		{name: "the Spec is empty", breaks: ": >" + spec, cause: []string{spec}},
		{
			name: "the Spec has an unknown key", breaks: "sed -i '0,/deviceNodes:/s//deviceNode:/' " + spec,
			cause: []string{spec, "deviceNode"},
		},
		{
			name: "two Specs define the GPU", share: true,
			breaks: "cp " + spec + " /etc/cdi/gpu.yaml && touch -d yesterday /etc/cdi/gpu.yaml",
			cause:  []string{"/etc/cdi/gpu.yaml and nvidia.yaml define it"},
		},
		{
			name: "the Spec's kind is misspelt", breaks: "sed -i 's/^kind:.*/kind: nvidia.com\\/gpus/' " + spec,
			cause: []string{"nvidia.com/gpus"},
		},
		{
			name:   "the Spec names GPUs by UUID alone",
			breaks: "nvidia-ctk cdi generate --device-name-strategy=uuid --output=" + spec,
			cause:  []string{"this host has that GPU"}, found: []string{"index"},
		},
		{
			name: "the Spec names GPUs by index alone", ask: uuid, mistake: true, want: "nvidia1",
			breaks: "nvidia-ctk cdi generate --device-name-strategy=index --output=" + spec, cause: []string{"index 1"},
		},
		{
			name: "the Spec was in memory", prepare: `mkdir -p /usr/lib/systemd/system
echo "[Unit]" | tee /usr/lib/systemd/system/nvidia-cdi-refresh.path \
	>/usr/lib/systemd/system/nvidia-cdi-refresh.service`,
			breaks: "mkdir -p /run/cdi && mv " + spec + " /run/cdi && boot", cause: []string{"nvidia.com/gpu"},
			found: []string{"Spec"},
		},
		{
			name: "the Spec's hook is gone", breaks: `ctk=/var/lib/packages/nvidia-container-toolkit-base
mkdir -p $ctk/usr/bin && mv /usr/bin/nvidia-ctk /usr/bin/nvidia-cdi-hook $ctk/usr/bin/`,
			cause: []string{"/usr/bin/nvidia-cdi-hook"},
			steps: []step{{words: "install the package ([a-z-]+)", command: "apt-get install $1"}},
		},
		{
			name: "the Spec's hook is elsewhere", share: true,
			breaks: "sed -i 's,/usr/bin/nvidia-cdi-hook,/opt/nvidia-cdi-hook,' " + spec,
			cause:  []string{"/opt/nvidia-cdi-hook"},
		},
		{
			name: "the Spec is for another host", breaks: "sed -i 's,/dev/nvidia0,/dev/nvidia7,' " + spec,
			cause: []string{"/dev/nvidia7"},
		},
		{
			name: "the Spec is of a host with one GPU", breaks: "nvidia-ctk cdi generate --device-id=0 --output=" + spec,
			ask: ask{env: []string{"NVIDIA_VISIBLE_DEVICES=1"}}, want: "nvidia1", cause: []string{"this host has that GPU"},
			found: []string{"/dev/nvidia1"},
		},
	}
}
