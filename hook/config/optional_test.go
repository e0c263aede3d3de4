package config

import "testing"

func TestRule(t *testing.T) {
	for _, test := range []struct {
		pattern    Pattern
		kind, name string
		want       bool
	}{
		{"mount:/a/b", "mount", "/a/b", true},
		{"mount:/a/b", "node", "/a/b", false},
		{"mount:/a/b", "mount", "/a/b/c", false},
		{"mount:/a/b", "mount", "/a", false},
		{"mount:/a/*", "mount", "/a/b", true},
		{"mount:/a/*", "mount", "/a/b/c", false},
		{"mount:/a/*", "mount", "/a", false},
		{"mount:/a/**", "mount", "/a/b/c", true},
		{"mount:/a/**", "mount", "/a", true},
		{"mount:/a/**", "mount", "/ab/c", false},
		{"mount:/**/x", "mount", "/x", true},
		{"mount:/**/x", "mount", "/a/b/x", true},
		{"mount:/**/x", "mount", "/a/x/b", false},
		{"mount:/a/**/b/**/c", "mount", "/a/1/b/2/3/c", true},
		{"mount:/a/**/b/**/c", "mount", "/a/1/2/c", false},
		{"mount:**", "mount", "/a/b", true},
		{"node:/dev/nvidia[01]", "node", "/dev/nvidia1", true},
		{"node:/dev/nvidia[01]", "node", "/dev/nvidia2", false},
		{"node:/dev/nvidia?", "node", "/dev/nvidia10", false},
		{"hook:*", "hook", "chmod", true},
		{"hook:*", "hook", "/usr/bin/x", false},
		{"hook:/usr/bin/*", "hook", "/usr/bin/x", true},
	} {
		c := CDI{Optional: []Pattern{"hook:never", test.pattern}}
		rule := c.Rule(test.kind, "/no/such/thing", test.name)
		if (rule != "") != test.want {
			t.Errorf("%s holds %s %s: %q", test.pattern, test.kind, test.name, rule)
		}
	}
}

// The built-in patterns are well formed, and make nothing optional that programs need.
func TestBuiltInRule(t *testing.T) {
	c := Defaults().CDI
	for _, p := range c.Optional {
		if err := new(Pattern).UnmarshalText([]byte(p)); err != nil {
			t.Error(err)
		}
	}
	for _, test := range []struct {
		kind, name string
		optional   bool
	}{
		{"mount", "/usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06", false},
		{"mount", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.65.06", false},
		{"mount", "/usr/lib/x86_64-linux-gnu/nvidia/xorg/nvidia_drv.so", false},
		{"mount", "/usr/bin/nvidia-smi", false},
		{"mount", "/usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json", true},
		{"mount", "/usr/share/glvnd/egl_vendor.d/10_nvidia.json", true},
		{"mount", "/etc/vulkan/icd.d/nvidia_icd.json", true},
		{"mount", "/etc/OpenCL/vendors/nvidia.icd", true},
		{"mount", "/usr/share/nvidia/nvoptix.bin", true},
		{"mount", "/lib/firmware/nvidia/580.65.06/gsp_ga10x.bin", true},
		{"mount", "/run/nvidia-persistenced/socket", true},
		{"mount", "/run/nvidia-fabricmanager/socket", true},
		{"mount", "/tmp/nvidia-mps", true},
		{"node", "/dev/nvidiactl", false},
		{"node", "/dev/nvidia-uvm", false},
		{"node", "/dev/nvidia-uvm-tools", true},
		{"node", "/dev/nvidia-modeset", true},
		{"hook", "update-application-profile", true},
		{"hook", "chmod", true},
		{"hook", "create-symlinks", false},
		{"hook", "update-ldcache", false},
		{"hook", "enable-cuda-compat", false},
		{"hook", "disable-device-node-modification", false},
	} {
		if rule := c.Rule(test.kind, test.name); (rule != "") != test.optional {
			t.Errorf("%s %s: %q", test.kind, test.name, rule)
		}
	}
}
