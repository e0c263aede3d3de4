package request

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/test/growth"
)

// annotatedBy returns a container with n annotations of one form.
func annotatedBy(n int, key, value string) asking {
	pairs := make([]string, 0, 2*n)
	for i := range n {
		pairs = append(pairs, fmt.Sprintf(key, i), value)
	}
	return annotated(pairs...)
}

// However many annotations there are, few requests come of them, and how many are left out is said.
func TestAnnotationsAreBounded(t *testing.T) {
	const many = 1000
	for _, test := range []struct {
		name, key string
		requests  int
		last      string
	}{
		{"for other containers", "gpu-hook/gpus.c%d", limits.Annotations + 1, `gpu-hook/gpus.NAME='936 more of these'`},
		{"misspelt", "gpu-hook/gpu%d", limits.Annotations, "=all"},
		{"quoted", `"gpu-hook/gpus%d`, limits.Annotations, "=all"},
		{"nearly", "gpuhook/gpus%d", maxNearly, "=all"},
		{"of CDI", "cdi.k8s.io/x%d", 1, `='1000 annotations'`},
		{"of CDI, quoted", `"cdi.k8s.io/x%d`, limits.Annotations, "=all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := annotatedBy(many, test.key, "all").gather()
			if len(got) != test.requests {
				t.Fatalf("%d requests", len(got))
			}
			last := got[len(got)-1]
			if !strings.HasSuffix(last.String(), test.last) || last.Err == nil && last.Status != plan.Refused {
				t.Errorf("%s: %v, %s", last, last.Err, last.Status)
			}
		})
	}
}

// All annotations but one may be for other containers of the pod.
func TestManyContainersOfAPod(t *testing.T) {
	asked := annotatedBy(1000, "gpu-hook/gpus.c%d", "device=0").under("cri-o")
	asked.annotations["io.kubernetes.container.name"] = "c999"
	if got := asked.gather(); len(got) != 1 || got[0].Origin.UnsafeKey != "gpu-hook/gpus.c999" {
		t.Errorf("%d requests, %+v", len(got), got[0])
	}
}

// A name of another vendor each is a request each.
func TestRequestsOfOneSourceAreBounded(t *testing.T) {
	var ids []string
	for i := range 4000 {
		ids = append(ids, fmt.Sprintf("v%d.com/x=0", i))
	}
	got := annotated("gpu-hook/gpus", `"device=`+strings.Join(ids, ",")+`"`).gather()
	if len(got) != 1 || got[0].Err == nil || got[0].Value != "4000 requests" {
		t.Fatalf("%d requests, %+v", len(got), got[0])
	}
	if want := "more than 128 are too many"; !strings.HasSuffix(got[0].Err.Error(), want) {
		t.Error(got[0].Err)
	}
	pairs := []string{}
	for i := range limits.Annotations {
		pairs = append(pairs, fmt.Sprintf("cdi.k8s.io/x%d", i), strings.Join(ids[:100], ","))
	}
	if got := annotated(pairs...).gather(); len(got) != 1 || got[0].Value != "6400 devices" || got[0].Err == nil {
		t.Errorf("%d requests, %+v", len(got), got[0])
	}
	// What containerd has applied it has judged.
	got = annotated(pairs...).under("containerd").gather()
	if len(got) != limits.Requests || !got[0].Engine || got[0].Err != nil {
		t.Errorf("%d requests, %+v", len(got), got[0])
	}
	// Nobody knows whose annotations these are, and they stop nothing.
	pairs = append(pairs, "io.container.manager", "libpod")
	got = annotated(pairs...).under("containerd").gather()
	if len(got) != 1 || got[0].Status != plan.Refused {
		t.Errorf("%d requests, %+v", len(got), got[0])
	}
}

func TestManyAnnotations(t *testing.T) {
	for name, key := range map[string]string{
		"for other containers": "gpu-hook/gpus.c%d", "misspelt": "gpu-hook/gpu%d", "of CDI": "cdi.k8s.io/x%d",
		"of others": "io.x/y%d",
	} {
		t.Run(name, func(t *testing.T) {
			growth.Linear(t, 2000, func(n int) func() {
				asked := annotatedBy(n, key, "all")
				return func() { asked.gather() }
			})
		})
	}
	t.Run("the engine's", func(t *testing.T) {
		growth.Linear(t, 200, func(n int) func() {
			asked := annotatedBy(n, "cdi.k8s.io/x%d", "a.com/b=0").under("cri-o")
			asked.annotations["io.kubernetes.cri-o.Annotations"] = `{"x":"` + strings.Repeat("y", 100*n) + `"}`
			return func() { asked.gather() }
		})
	})
}
