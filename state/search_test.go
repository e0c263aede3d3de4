package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/test/growth"
)

// A string is found wherever the parts of the file end, and as a whole.
func TestSearch(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	words := []string{"A=", "LONG="}
	notVoid := func(text string) bool { return text != "A=" && text != "A=void" }
	pad := func(n int, text string) string { return `{"x":"` + strings.Repeat("x", n-len(`{"x":"`)) + text + `"}` }
	for name, test := range map[string]struct{ text, want string }{
		"nothing":             {pad(3*window, ""), ""},
		"an explicit nothing": {pad(3*window, `","A=void","A=`), ""},
		"at the end":          {pad(3*window, `","A=0`), "A=0"},
		"within a string":     {pad(3*window, `\"A=0\"`), ""},
		"without an end":      {pad(window+100, `","A=0`)[:window+106], "A=0"},
		"behind a nothing":    {pad(2*window, `","A=","A=void","A=1`), "A=1"},
		"long": {
			pad(window, `","LONG=`+strings.Repeat("y", 2*window)),
			"LONG=" + strings.Repeat("y", longest-6),
		},
		"empty": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := Search(dir, words, notVoid); err != nil || got != test.want {
				t.Errorf("%.100q (%d), %v; want %.100q", got, len(got), err, test.want)
			}
		})
	}
	for at := window - longest - 10; at < window+10; at += 173 {
		for _, value := range []string{"A=0", "A=void"} {
			if err := os.WriteFile(path, []byte(pad(at, `","`+value+`","`)+strings.Repeat(" ", window)), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Search(dir, words, notVoid)
			if want := strings.TrimSuffix(value, "A=void"); err != nil || got != want {
				t.Fatalf("at %d: %q, %v; want %q", at, got, err, want)
			}
		}
	}
}

// Memory does not grow with the file, and one that is larger than runtimes read is not searched.
func TestSearchIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	never := func(string) bool { return false }
	for size, want := range map[int64]error{limits.Searched: nil, limits.Searched + 1: ErrTooLarge} {
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
		const most = 8 << 20
		allocated := growth.Allocated(func() {
			if _, err := Search(dir, []string{"A="}, never); !errors.Is(err, want) {
				t.Errorf("%d bytes: %v", size, err)
			}
		})
		if allocated > most {
			t.Errorf("%d bytes: %d are allocated", size, allocated)
		}
	}
	if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Search(dir, []string{"A="}, never); !errors.Is(err, errNotRegular) {
		t.Error(err)
	}
}
