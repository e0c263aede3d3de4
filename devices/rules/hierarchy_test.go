package rules

import (
	"fmt"
	"testing"
)

func TestDir(t *testing.T) {
	const m = "/sys/fs/cgroup"
	for _, test := range []struct{ root, group, want string }{
		{"/", "/a/b", m + "/a/b"},
		{"/", "/", m},
		{"/a", "/a/b", m + "/b"},
		{"/a", "/a", m},
		{"/a/", "/a/b/", m + "/b"},
		{"/a", "/ab", ""},
		{"/a", "/b", ""},
		{"/a/b", "/a", ""},
		{"/", "/../a", ""},
		{"/", "/a/../../b", ""},
		{"/a", "/a/../b", ""},
		{"/..", "/../a", ""},
	} {
		got, err := hierarchy{m, test.root}.dir(test.group)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q mounted, %q: got %q, %v", test.root, test.group, got, err)
		}
		if want := fmt.Sprintf("cgroup %q lies outside what is mounted on %s", test.group,
			m); err != nil && err.Error() != want {
			t.Error(err)
		}
	}
}
