package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

const podmanID = "094599e9729fa7a8365ccfcc3e0d11bb63384e88f961081d35d06d95bf7d4627"

func TestReadSpec(t *testing.T) {
	for _, test := range []struct {
		name, in string
		id, err  string
	}{
		{"podman", `{"linux":{"cgroupsPath":"/libpod_parent/libpod-` + podmanID + `"},"future":1}`, podmanID, ""},
		{"podman, systemd", `{"linux":{"cgroupsPath":"machine.slice:libpod:` + podmanID + `"}}`, podmanID, ""},
		{"podman, split", `{"linux":{"cgroupsPath":"/a.service/libpod-payload-` + podmanID + `"}}` + "\n", podmanID, ""},
		{"no path", `{"linux":{}}`, "", ""},
		{"no linux", `{}`, "", ""},
		{"no id", `{"linux":{"cgroupsPath":"/a/libpod-../../x"}}`, "", ""},
		{"short", `{"linux":{"cgroupsPath":"/a/libpod-0123"}}`, "", ""},
		{"empty", ``, "", "it is empty"},
		{"null", `null`, "", "it holds null"},
		{"something follows", `{}x`, "", "invalid character 'x' after top-level value"},
		{"too large", padded("{}", limits.Config+1), "", "it is larger than gpu-hook reads"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := ReadSpec([]byte(test.in))
			if test.err != "" {
				wantError(t, err, fault.Bundle, "spec on standard input: "+test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(State{State: specs.State{ID: test.id}}, c.State); diff != "" {
				t.Error(diff)
			}
		})
	}
}
