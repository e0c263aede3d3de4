package nvidia

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/contract"
)

// A container that runs nvidia-smi and does not get it is told so, by what its capabilities come from.
func TestWithoutSMI(t *testing.T) {
	for _, test := range []struct {
		name         string
		args         []string
		demand       []string
		capabilities []string
		want         string
	}{
		{"it gets it", []string{"nvidia-smi"}, nil, []string{"compute", "utility"}, ""},
		{"it does not want it", []string{"sh"}, nil, []string{"compute"}, ""},
		{
			"by the variable",
			[]string{"/usr/bin/nvidia-smi", "-L"},
			nil,
			[]string{"compute"},
			"NVIDIA_DRIVER_CAPABILITIES=compute: it lacks utility, so that the container does not get nvidia-smi",
		},
		{
			"in a shell, by the request",
			[]string{"sh", "-c", "nvidia-smi -L"},
			[]string{"gpu", "compute"},
			[]string{"compute"},
			"request: it lacks utility, so that the container does not get nvidia-smi",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := image()
			c.Spec.Process = &specs.Process{Args: test.args}
			o := contract.Order{
				Container: view(c), Demands: []contract.Demand{{What: "request", Capabilities: test.demand}},
			}
			got := ""
			if f := withoutSMI(o, test.capabilities); f != nil {
				got = f.Error()
			}
			if got != test.want {
				t.Errorf("%q", got)
			}
		})
	}
	if withoutSMI(contract.Order{Container: view(image())}, nil) != nil {
		t.Error("no command is one that runs it")
	}
}
