package nvidia

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// Requirements without an end are a mistake of the image.
func TestRequirementsAreBounded(t *testing.T) {
	several := make([]string, 0, limits.Requirements+1)
	for i := range limits.Requirements + 1 {
		several = append(several, fmt.Sprintf("NVIDIA_REQUIRE_%d=cuda>=12.4", i))
	}
	const clause = "cuda>=12.4 "
	long := "NVIDIA_REQUIRE_CUDA=" + strings.Repeat(clause, limits.Value/len(clause)+1)
	for name, test := range map[string]struct {
		env  []string
		want string
	}{
		"as many as can be": {several[:limits.Requirements], ""},
		"one more":          {several, "65 variables NVIDIA_REQUIRE_* are too many (64)"},
		"long":              {[]string{long}, "NVIDIA_REQUIRE_CUDA: it is longer than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &state.Container{Spec: &specs.Spec{Process: &specs.Process{Env: test.env}}}
			_, err := Requirements(c)
			if got := fmt.Sprint(err); err != nil && got != test.want || err == nil && test.want != "" {
				t.Error(err)
			}
		})
	}
}
