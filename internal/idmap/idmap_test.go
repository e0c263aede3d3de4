package idmap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       Map
		err        string
	}{
		{"of the initial namespace", "         0          0 4294967295\n", Map{{0, 0, 4294967295}}, ""},
		{"rootless", "0 1000 1\n1 100000 65536\n", Map{{0, 1000, 1}, {1, 100000, 65536}}, ""},
		{"without a newline at its end", "0 1000 1", Map{{0, 1000, 1}}, ""},
		{"not written yet", "", nil, ""},
		{"outside of the reader's namespace", "0 4294967295 65536\n", Map{{0, 4294967295, 65536}}, ""},
		{"the last id", "4294967294 4294967294 1\n", Map{{4294967294, 4294967294, 1}}, ""},
		{"words", "a b c\n", nil, `line "a b c": strconv.ParseUint: parsing "a": invalid syntax`},
		{
			"a word that could pass for 0", "0 x 4294967295\n", nil,
			`line "0 x 4294967295": strconv.ParseUint: parsing "x": invalid syntax`,
		},
		{"two numbers", "0 0\n", nil, `line "0 0": 2 fields, not 3`},
		{"four numbers", "0 0 1 1\n", nil, `line "0 0 1 1": 4 fields, not 3`},
		{"an empty line", "\n", nil, `line "": 0 fields, not 3`},
		{"a good line first", "0 1000 1\nx\n", nil, `line "x": 1 fields, not 3`},
		{"negative", "0 -5 10\n", nil, `line "0 -5 10": strconv.ParseUint: parsing "-5": invalid syntax`},
		{"a sign", "0 +5 10\n", nil, `line "0 +5 10": strconv.ParseUint: parsing "+5": invalid syntax`},
		{"hexadecimal", "0 0x10 10\n", nil, `line "0 0x10 10": strconv.ParseUint: parsing "0x10": invalid syntax`},
		{"underscores", "0 1_0 10\n", nil, `line "0 1_0 10": strconv.ParseUint: parsing "1_0": invalid syntax`},
		{
			"33 bits", "0 0 4294967296\n", nil,
			`line "0 0 4294967296": strconv.ParseUint: parsing "4294967296": value out of range`,
		},
		{"more inside than there are", "1 0 4294967295\n", nil, `line "1 0 4294967295": ids beyond 4294967294`},
		{"more outside than there are", "0 4294967290 100\n", nil, `line "0 4294967290 100": ids beyond 4294967294`},
		{"a NUL", "0 0 1\x00\n", nil, `line "0 0 1\x00": strconv.ParseUint: parsing "1\x00": invalid syntax`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse(test.text)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if message(err) != test.err {
				t.Errorf("error %q, want %q", message(err), test.err)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOutside(t *testing.T) {
	const rootless = "0 1000 1\n1 100000 65536\n"
	for _, test := range []struct {
		name, text  string
		id, outside int
		ok          bool
	}{
		{"of the initial namespace", "0 0 4294967295\n", 1000, 1000, true},
		{"rootless, root", rootless, 0, 1000, true},
		{"rootless, another", rootless, 5, 100004, true},
		{"the last of a range", rootless, 65536, 165535, true},
		{"behind the last", rootless, 65537, 0, false},
		{"before the first", "10 100000 1\n", 9, 0, false},
		{"a negative id", "0 0 4294967295\n", -1, 0, false},
		{"an empty range", "0 5 0\n", 0, 0, false},
		{"no ranges", "", 0, 0, false},
		{"not in the reader's namespace", "0 4294967295 65536\n", 0, 0, false},
		{"not in the reader's namespace, not the first", "0 4294967295 65536\n", 1, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if outside, ok := m.Outside(test.id); outside != test.outside || ok != test.ok {
				t.Errorf("%d, %v", outside, ok)
			}
		})
	}
}

func TestInitial(t *testing.T) {
	for text, want := range map[string]bool{
		"0 0 4294967295\n":         true,
		"0 0 4294967294\n":         false,
		"0 0 1\n":                  false,
		"0 0 1\n1 1 4294967294\n":  false,
		"0 1000 1\n":               false,
		"0 1 4294967294\n":         false,
		"1 1 4294967294\n":         false,
		"":                         false,
		"0 4294967295 4294967295 ": false,
	} {
		m, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Initial(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestRead(t *testing.T) {
	m, err := Read("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Outside(os.Getuid()); !ok {
		t.Errorf("%v does not map this process's own uid", m)
	}
	path := filepath.Join(t.TempDir(), "uid_map")
	if _, err := Read(path); !os.IsNotExist(err) {
		t.Errorf("of a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), "parse "+path+": line ") {
		t.Errorf("of nonsense: %v", err)
	}
}
