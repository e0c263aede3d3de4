package nvidia

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/contract"
)

// tree makes files below a directory: "" is a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil && text == "" {
			err = os.MkdirAll(at, 0o755)
		} else if err == nil {
			err = os.WriteFile(at, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What a Spec lacks is told by what the host has, and only if a container needs it.
func TestLacking(t *testing.T) {
	const gpu1 = "gpus/0000:02:00.0/information"
	about := func(minor, excluded string) string {
		return "Model: \t\t X\nDevice Minor: \t " + minor + "\nGPU Excluded:\t " + excluded + "\n"
	}
	host := map[string]string{
		"devices":                       "Character devices:\n236 nvidia-caps\n510 nvidia-uvm\n\nBlock devices:\n  8 sd\n",
		"gpus/0000:01:00.0/information": about("0", "No"), gpu1: about("1", "No"),
	}
	with := func(changes map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range []map[string]string{host, changes} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	gone := map[string]string{
		"devices": host["devices"], "gpus/0000:01:00.0/information": about("0", "No"), "dev/nvidia1": "x",
	}
	mig := with(map[string]string{
		"nodes/nvidia-cap1": "x", "nodes/nvidia-cap2": "x", "nodes/nvidia-cap12": "x", "caps/gpu0/mig/gi1/access": "x",
	})
	whole := []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia1"}
	const (
		noControl = "it lacks /dev/nvidiactl: neither nvidia-smi nor CUDA finds a GPU in the container"
		noUVM     = "it lacks /dev/nvidia-uvm: nvidia-smi works in the container, CUDA does not"
		noCaps    = "it gives MIG devices without nodes of /dev/nvidia-caps: no program can open them"
		noMIG     = "it has none of the MIG instances of this host, and a GPU in MIG mode does not work as a whole"
		lostGPU   = "NVIDIA's driver has no GPU for /dev/nvidia1: no program can open it"
		noGPU     = `it lacks /dev/nvidia1: "all" gives 1 GPUs, and the driver has 2`
	)
	for _, test := range []struct {
		name         string
		host         map[string]string
		nodes        []string // of the container
		names        []string
		capabilities []string
		want         []string
	}{
		{"all is there", host, whole, []string{"=all"}, nil, nil},
		{"no GPU", host, []string{"/dev/dxg"}, []string{"=all"}, nil, nil},
		{"no control node", host, whole[1:], []string{"=all"}, nil, []string{noControl}},
		{"no uvm", host, slices.Delete(slices.Clone(whole), 1, 2), []string{"=all"}, nil, []string{noUVM + " [make uvm]"}},
		{
			"no uvm, and its node is there", with(map[string]string{"dev/nvidia-uvm": "x"}),
			slices.Delete(slices.Clone(whole), 1, 2),
			[]string{"=all"},
			[]string{"compute", "utility"},
			[]string{noUVM},
		},
		{
			"no uvm, and nothing that needs it", host, slices.Delete(slices.Clone(whole), 1, 2),
			[]string{"=all"},
			[]string{"graphics", "utility"},
			nil,
		},
		{
			"no uvm, and the host has none", with(map[string]string{"devices": "Block devices:\n510 nvidia-uvm\n"}),
			slices.Delete(slices.Clone(whole), 1, 2),
			[]string{"=all"},
			nil, nil,
		},
		{"a GPU of two", host, whole[:3], []string{"=all"}, nil, []string{noGPU}},
		{"a GPU of two was asked for", host, whole[:3], []string{"=0"}, nil, nil},
		{
			"a GPU of two, and the other is left alone", with(map[string]string{gpu1: about("1", "Yes")}), whole[:3],
			[]string{"=all"},
			nil, nil,
		},
		{
			"a GPU of two, and the other has no node", with(map[string]string{gpu1: "Model: X\n"}), whole[:3],
			[]string{"=all"},
			nil, nil,
		},
		{"a GPU of two is gone, and its node has stayed", gone, whole, []string{"=all"}, nil, []string{lostGPU}},
		{"a GPU of two is gone, and the other was asked for", gone, whole[:3], []string{"=0"}, nil, nil},
		{
			"a GPU of two is gone with its node",
			map[string]string{"gpus/0000:01:00.0/information": about("0", "No")},
			whole[:3],
			[]string{"=0"},
			nil, nil,
		},
		{
			"a GPU is gone that its driver leaves alone", with(map[string]string{
				gpu1: about("1", "Yes"), "dev/nvidia2": "x",
			}), whole, []string{"=0"}, nil, nil,
		},
		{
			"no GPU is listed",
			map[string]string{"gpus": "", "dev/nvidia0": "x", "dev/nvidia-uvm": "x"},
			whole,
			[]string{"=0"},
			nil, nil,
		},
		{"a MIG device without its nodes", mig, whole, []string{"=0:1"}, nil, []string{noCaps}},
		{"a MIG device without nodes anywhere", host, whole, []string{"=mig0:1"}, nil, []string{noCaps + " [nvidia-smi -L]"}},
		{
			"a MIG device with its nodes", mig, append(slices.Clone(whole), "/dev/nvidia-caps/nvidia-cap12"),
			[]string{"=MIG-7"},
			nil, nil,
		},
		{"MIG instances in no Spec", mig, whole, []string{"=all"}, nil, []string{noMIG}},
		{"a GPU in MIG mode as a whole was asked for", mig, whole, []string{"=0"}, nil, nil},
		{
			"the nodes of MIG instances that are gone", with(map[string]string{"nodes/nvidia-cap12": "x"}), whole,
			[]string{"=all"},
			nil, nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := tree(t, test.host)
			h := holdings{
				dir: "/dev", devices: dir + "/devices", gpus: dir + "/gpus", caps: dir + "/caps", nodes: dir + "/nodes",
				maker: func(string) string { return "make uvm" },
				exists: func(node string) bool {
					return node == controlNode || exists(dir+node)
				},
			}
			g := contract.Given{Names: test.names, All: test.names[0] == "=all", Capabilities: test.capabilities}
			for _, n := range test.nodes {
				g.Nodes = append(g.Nodes, contract.GivenNode{Path: n, HostPath: n})
			}
			var got []string
			if dirOfGPUs(g) != "" {
				for _, l := range h.lacking(g) {
					got = append(got, strings.TrimSuffix(l.What+" ["+l.Before+"]", " []"))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Of a driver in a directory of its own, what the kernel says of its own paths tells nothing.
func TestLackingOfADriverRoot(t *testing.T) {
	dir := tree(t, map[string]string{"dev/nvidia0": "x", "dev/nvidia-uvm": "x"})
	g := contract.Given{All: true, Kind: "nvidia.com/gpu", Specs: []string{"/s"}, Names: []string{"nvidia.com/gpu=0:1"}}
	g.Nodes = []contract.GivenNode{{Path: "/dev/nvidia0", HostPath: dir + "/dev/nvidia0"}}
	got := Contract{}.Lacking(g)
	if len(got) != 1 || got[0].Node != uvmNode || got[0].Before != "" {
		t.Errorf("%+v", got)
	}
}
