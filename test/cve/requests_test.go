package cve

import (
	"strings"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// requestAttacks are those by what an image or a pod's author writes into a request.
func requestAttacks() (list []attack) {
	for _, name := range []struct{ kind, asks string }{
		{"..", "device=../0"},
		{"a slash", "driver=cdi,device=nvidia.com/gpu=../../0"},
		{"a NUL", "device=0\x00"},
		{"64 KiB", "device=" + strings.Repeat("a", 64<<10)},
		{"quotes and a comma", `"device=0,","x`},
	} {
		list = append(list, attack{
			number: "S23", title: "CVE-2025-24965: device name with " + name.kind, want: refused, asks: name.asks,
		})
	}
	for _, name := range []struct{ kind, asks string }{
		{"a line feed in a device name", "device=0\nDeviceAllow=/dev/mem rwm"},
		{"a line feed in a capability", `"capabilities=compute` + "\n" + `utility"`},
		{"a line feed for the delegate", "driver=nvidia.runtime-hook,device=0\nldconfig=/bin/evil"},
	} {
		list = append(list, attack{
			number: "S24", title: "CVE-2026-15809: " + name.kind, want: refused, asks: name.asks,
		})
	}
	list = append(list, attack{
		number: "S24", title: "CVE-2026-15809: a carriage return behind a device name", want: either, asks: "device=0\r",
		check: noRawBreaks,
	})
	for _, from := range []struct {
		name        string
		env         []string
		annotations map[string]string
	}{
		{"environment", []string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=all"}, nil},
		{"annotations", nil, map[string]string{
			"gpu-hook/gpus": "all", "cdi.k8s.io/image": "nvidia.com/gpu=all", "gpu-hook/plan": `{"edits":{}}`,
			"io.container.manager": "cri-o",
		}},
	} {
		list = append(list, attack{
			number: "S28", title: "CVE-2026-53492: the image requests by its " + from.name + ", which is switched off",
			want: contained, asks: "-",
			edit: func(b *gpuhost.Bundle) { b.Env, b.Annotations = from.env, from.annotations },
			plant: func(s *scene) {
				s.write("config.toml", s.Host.Config()+"[requests]\nsources = [\"mount\"]\n")
			},
			check: func(s *scene, r result) {
				if got := r.lines("has"); len(got) > 0 {
					s.errorf("it got %v", got)
				}
				o, err := s.GPUHook("last")
				s.must(err)
				if !strings.Contains(o.Stdout, "refused") {
					s.errorf("the record does not tell: %s%s", o.Stdout, o.Stderr)
				}
			},
		})
	}
	return list
}
