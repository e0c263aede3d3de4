package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShown(t *testing.T) {
	text := `abc (podman): did not start
  env:NVIDIA  "all"  nvidia  unserved: one two three four five
FAIL  1  podman never calls gpu-hook: no definition
         fix: gpu-hook install --engine podman --user
error E-NODE: device node /dev/nvidia0: it is missing
averylongwordthatnobodycanbreakanywhere
ok       fine
`
	want := `abc (podman): did not start
  env:NVIDIA  "all"  nvidia
              unserved: one two
              three four five
FAIL  1  podman never calls
         gpu-hook: no definition
         fix: gpu-hook install --engine podman --user
error E-NODE: device node
    /dev/nvidia0: it is missing
averylongwordthatnobodycanbreakanywhere
ok       fine
`
	if diff := cmp.Diff(want, terminal{width: 34, is: true}.shown(text)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := (terminal{width: 34}).shown(text); got != text {
		t.Errorf("it is no terminal:\n%s", got)
	}
	want = "abc: \x1b[31mdid not start\x1b[0m\n\x1b[31mFAIL\x1b[0m  1\n\x1b[33mwarning\x1b[0m W-X: x\n" +
		"failing\n  error\n\x1b[32mok\x1b[0m\ncontainer x: y\n"
	got := terminal{width: 80, is: true, colours: true}.shown(
		"abc: did not start\nFAIL  1\nwarning W-X: x\nfailing\n  error\nok\ncontainer x: y\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// No line is longer than the width, and no word is lost.
func TestFold(t *testing.T) {
	text := strings.TrimSpace(strings.Repeat("a bb ccc dddd ", 20))
	for width := 12; width < 100; width++ {
		folded := fold(text, "    ", width)
		for i, line := range strings.Split(folded, "\n") {
			length := len(line)
			if i == 0 {
				length += 4
			}
			if length > width {
				t.Errorf("width %d: %q", width, line)
			}
		}
		if strings.Join(strings.Fields(folded), " ") != text {
			t.Errorf("width %d: %q", width, folded)
		}
	}
	if got := fold("ääää ööö", "", 8); got != "ääää ööö" {
		t.Errorf("%q", got)
	}
}
