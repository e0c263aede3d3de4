package nvidia

import (
	"strings"
	"testing"
)

func TestDriversNamed(t *testing.T) {
	for _, test := range []struct{ files, arguments, want string }{
		{"", "", ""},
		{"/usr/lib/libcuda.so.580.65.06 /usr/lib/libnvidia-ml.so.580.65.06", "", "580.65.06"},
		{"/x/libcuda.so.580.65.06 /usr/lib32/libcuda.so.570.133", "", "580.65.06 570.133"},
		{"/usr/lib/libcuda.so.1 /usr/lib/libcuda.so /usr/lib/libcuda.so.1.1", "", ""},
		{"/usr/lib/libcudart.so.580.65.06 /usr/lib/libnvidia-ml.so.x /usr/lib/libcuda.so.580.65.06/x", "", ""},
		{"", "hook enable-cuda-compat --host-driver-version=580.65.06", "580.65.06"},
		{"", "hook enable-cuda-compat --host-driver-version 580.65.06 --x", "580.65.06"},
		{"", "hook --host-driver-version", ""},
		{"", "hook --host-driver-version= --host-cuda-version=13.0", ""},
		{"/libcuda.so.580.65.06", "--host-driver-version=580.65.06", "580.65.06"},
	} {
		drivers := DriversNamed(strings.Fields(test.files), strings.Fields(test.arguments))
		if got := strings.Join(drivers, " "); got != test.want {
			t.Errorf("%q %q: %q, not %q", test.files, test.arguments, got, test.want)
		}
	}
}
