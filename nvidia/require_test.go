package nvidia

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/state"
)

func image(env ...string) *state.Container {
	return &state.Container{Spec: &specs.Spec{Process: &specs.Process{Env: env}}}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"0":                                "0.0",
		"8":                                "8.0",
		"7.5":                              "7.5",
		"9.0.116":                          "9.0",
		"v11.6":                            "11.6",
		"4294967295.4294967295.4294967295": "4294967295.4294967295",

		"foo": "", "foo.5.10": "", "9.0.116.50": "", "9.0.116foo": "", "7.foo": "", "9.0.bar": "", "9.4294967296": "",
		"9.0.116.": "", "9..0": "", "9.": "", ".5.10": "", "-9": "", "+9": "", "-9.1.116": "", "9.-1.-116": "", "": "",
	} {
		got, err := parseVersion(text)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestCUDAOfDriver(t *testing.T) {
	for driver, want := range map[string]string{
		"580.65.06": "13.0", "525.60.13": "12.0", "450.36.06": "11.0", "390.157": "9.1", "331.20": "6.0",
		"435.21": "10.1 to 10.2", "585.1": "13.0 to 13.1", "700.1": "13.1 or newer",
	} {
		if d, err := ParseDriver(driver); err != nil || d.CUDA() != want {
			t.Errorf("%s: %s, %v", driver, d.CUDA(), err)
		}
	}
	for _, driver := range []string{"304.1", "nonsense", ""} {
		if _, err := ParseDriver(driver); err == nil {
			t.Errorf("%q: no error", driver)
		}
	}
	if d := ReadDriver("/nowhere"); d.Version != "" || d.CUDA() != "not known" {
		t.Errorf("without a file: %+v", d)
	}
}

func TestCheck(t *testing.T) {
	host, err := ParseDriver("535.104.05") // CUDA 12.2
	if err != nil {
		t.Fatal(err)
	}
	between, err := ParseDriver("435.21") // CUDA 10.1 to 10.2
	if err != nil {
		t.Fatal(err)
	}
	newer, err := ParseDriver("700.1") // CUDA 13.1 or newer
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		value  string
		driver Driver
		answer Answer
		why    string
	}{
		{"cuda>=12.2", host, Met, ""},
		{"cuda>=12.3", host, Unmet, "cuda>=12.3"},
		{"cuda>12.2", host, Unmet, "cuda>12.2"},
		{"cuda>12.1", host, Met, ""},
		{"cuda<=12.2", host, Met, ""},
		{"cuda<=12.1", host, Unmet, "cuda<=12.1"},
		{"cuda<12.2", host, Unmet, "cuda<12.2"},
		{"cuda<12.3", host, Met, ""},
		{"cuda=12.2", host, Met, ""},
		{"cuda=12.1", host, Unmet, "cuda=12.1"},
		{"cuda!=12.2", host, Unmet, "cuda!=12.2"},
		{"cuda!=12.1", host, Met, ""},
		{"driver>=535.104", host, Met, ""},
		{"driver>=535.104.6", host, Unmet, "driver>=535.104.6"},
		{"brand=tesla", host, Unknown, "brand=tesla"},
		{"arch>=8.0", host, Unknown, "arch>=8.0"},
		{"brand=tesla,cuda>=99", host, Unmet, "cuda>=99"},
		{"brand=tesla cuda>=99", host, Unknown, "brand=tesla"},
		{"brand=tesla cuda>=12", host, Met, ""},
		{"cuda>=99 cuda>=98", host, Unmet, "cuda>=98 cuda>=99"},
		{"cuda>=10.1", between, Met, ""},
		{"cuda>=10.2", between, Unknown, "cuda>=10.2"},
		{"cuda>=10.3", between, Unmet, "cuda>=10.3"},
		{"cuda>10.0", between, Met, ""},
		{"cuda>10.2", between, Unmet, "cuda>10.2"},
		{"cuda<10.1", between, Unmet, "cuda<10.1"},
		{"cuda<10.3", between, Met, ""},
		{"cuda<=10.2", between, Met, ""},
		{"cuda<=10.1", between, Unknown, "cuda<=10.1"},
		{"cuda=10.2", between, Unknown, "cuda=10.2"},
		{"cuda=11.0", between, Unmet, "cuda=11.0"},
		{"cuda!=11.0", between, Met, ""},
		{"cuda!=10.2", between, Unknown, "cuda!=10.2"},
		{"cuda>=13.1", newer, Met, ""},
		{"cuda>=14.0", newer, Unknown, "cuda>=14.0"},
		{"cuda<13.1", newer, Unmet, "cuda<13.1"},
		{"cuda<14.0", newer, Unknown, "cuda<14.0"},
		{"cuda>=1", Driver{}, Unknown, "cuda>=1"},
		{"foo=45", host, Met, ""},
		{"foo=45,cuda>=99", host, Unmet, "cuda>=99"},
		{"", host, Met, ""},
	} {
		requirements, err := Requirements(image("NVIDIA_REQUIRE_CUDA=" + test.value))
		if err != nil || len(requirements) != 1 {
			t.Fatalf("%q: %v, %v", test.value, requirements, err)
		}
		answer, why := requirements[0].Check(test.driver)
		if answer != test.answer || strings.Join(why, " ") != test.why {
			t.Errorf("%q: %d because of %q", test.value, answer, why)
		}
	}
}

func TestRequirements(t *testing.T) {
	for _, test := range []struct {
		name string
		env  []string
		want string
	}{
		{"none", []string{"A=b"}, ""},
		{"JetPack", []string{"NVIDIA_REQUIRE_JETPACK=x", "NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS=y"}, ""},
		{
			"two",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=11.6", "NVIDIA_REQUIRE_BRAND=brand=tesla"},
			"NVIDIA_REQUIRE_BRAND=brand=tesla NVIDIA_REQUIRE_CUDA=cuda>=11.6",
		},
		{"legacy", []string{"CUDA_VERSION=11.6.2"}, "CUDA_VERSION=cuda>=11.6"},
		{
			"legacy and a brand",
			[]string{"CUDA_VERSION=11.6", "NVIDIA_REQUIRE_BRAND=brand=tesla"},
			"CUDA_VERSION=cuda>=11.6 NVIDIA_REQUIRE_BRAND=brand=tesla",
		},
		{"disabled", []string{"NVIDIA_REQUIRE_CUDA=cuda>=99", "NVIDIA_DISABLE_REQUIRE=T"}, ""},
		{
			"not disabled",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=99", "NVIDIA_DISABLE_REQUIRE=yes"},
			"NVIDIA_REQUIRE_CUDA=cuda>=99",
		},
		{
			"the last counts",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=99", "NVIDIA_REQUIRE_CUDA=cuda>=1"},
			"NVIDIA_REQUIRE_CUDA=cuda>=1",
		},
		{"no value", []string{"NVIDIA_REQUIRE_CUDA=cuda>=99", "NVIDIA_REQUIRE_CUDA"}, "NVIDIA_REQUIRE_CUDA=cuda>=99"},
	} {
		t.Run(test.name, func(t *testing.T) {
			requirements, err := Requirements(image(test.env...))
			var got []string
			for _, r := range requirements {
				got = append(got, r.Variable+"="+r.Value)
			}
			if err != nil || strings.Join(got, " ") != test.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	for _, env := range []string{
		"NVIDIA_REQUIRE_CUDA=notvalid",
		"NVIDIA_REQUIRE_CUDA=cuda=foo",
		"NVIDIA_REQUIRE_CUDA=cuda>=9 cuda>=x",
		"NVIDIA_REQUIRE_CUDA=cuda=>9",
		"NVIDIA_REQUIRE_CUDA=brand!x",
		"CUDA_VERSION=9.foo",
	} {
		if _, err := Requirements(image(env)); err == nil {
			t.Errorf("%s: no error", env)
		}
	}
}
