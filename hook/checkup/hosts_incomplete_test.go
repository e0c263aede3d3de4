package checkup

import "strings"

// incompleteHosts are hosts whose Specs lack something that the host has.
func incompleteHosts() []broken {
	generate := "nvidia-ctk cdi generate --output=" + specFile
	const caps = "/dev/nvidia-caps/nvidia-cap"
	mig := migHost()
	amdLacks := func(node string) tree {
		return amdHost().with(tree{
			"/etc/cdi/amd.json": strings.Replace(amdHost()["/etc/cdi/amd.json"], `{"path": "`+node+`"},`, "", 1),
		})
	}
	return []broken{
		{
			name: "the Spec does without the control node", tree: healthy().with(tree{
				specFile: spec(loaded, common()[1:], 0, 1),
			}), cause: "it lacks /dev/nvidiactl: neither nvidia-smi nor CUDA finds a GPU", fix: generate,
		},
		{
			name: "MIG instances are in the Spec, and their nodes are not", tree: mig.with(tree{
				specFile: withoutLines(mig[specFile], caps),
			}), cause: "gives MIG devices without nodes", fix: generate,
		},
		{
			name: "MIG instances are in the Spec, and no nodes anywhere", tree: mig.with(tree{
				specFile: withoutLines(mig[specFile], caps), caps + "12": "", caps + "13": "",
				"/proc/devices": "Character devices:\n195 nvidia\n237 nvidia-caps\n510 nvidia-uvm\n\nBlock devices:\n  8 sd\n",
			}), cause: "gives MIG devices without nodes", fix: "nvidia-smi -L && " + generate,
		},
		{
			name: "the Spec of AMD's GPUs does without kfd", tree: amdLacks("/dev/kfd"),
			cause: "it lacks /dev/kfd", fix: "amd-ctk cdi generate --output=/etc/cdi/amd.json",
		},
		{name: "healthy, with a GPU that the driver leaves alone", tree: healthy().with(tree{
			specFile: spec(loaded, common(), 0), "/dev/nvidia1": "",
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": gpu(1) + "GPU Excluded:\t Yes\n",
		})},
	}
}

// withoutLines returns the text without the lines that contain a word.
func withoutLines(text, word string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, word) {
			out.WriteString(line)
		}
	}
	return out.String()
}
