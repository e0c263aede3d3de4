package nvidia

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/state"
)

// FuzzRequirements: what an image requires of the driver is answered, with the clauses that are the reason, and is met
// where nothing is required.
func FuzzRequirements(f *testing.F) {
	f.Add("NVIDIA_REQUIRE_CUDA", "cuda>=12.4 brand=tesla,driver>=450,driver<451", "580.65.06")
	f.Add("NVIDIA_REQUIRE_X", "arch>=7.0,,cuda!=x  driver<=1.2.3.4", "x")
	f.Add("CUDA_VERSION", "8.0.61", "367")
	f.Fuzz(func(t *testing.T, name, value, driver string) {
		c := &state.Container{Spec: &specs.Spec{Process: &specs.Process{Env: []string{name + "=" + value}}}}
		requirements, err := Requirements(c)
		if err != nil {
			return
		}
		d, err := ParseDriver(driver)
		if err != nil {
			d = Driver{}
		}
		for _, r := range requirements {
			answer, reasons := r.Check(d)
			if len(r.terms) == 0 && answer != Met || (answer == Met) != (len(reasons) == 0) {
				t.Errorf("%+v of %+v: %v, %q", r, d, answer, reasons)
			}
			if d.Version == "" && answer == Unmet {
				t.Errorf("%+v is not met by a driver that is not known", r)
			}
		}
	})
}
