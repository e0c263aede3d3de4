package inject

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// openDirs opens directories below a new one, by name.
func openDirs(t *testing.T, names ...string) map[string]*os.File {
	t.Helper()
	top, dirs := t.TempDir(), map[string]*os.File{}
	for _, name := range names {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		dir, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dir.Close() })
		dirs[name] = dir
	}
	return dirs
}

// The journal holds a directory by one handle, however much is made there, and lets it go with the last entry in it.
func TestJournalHoldsADirectoryOnce(t *testing.T) {
	dirs, j := openDirs(t, "a", "b"), &journal{}
	record := func(dir string, names ...string) {
		t.Helper()
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dirs[dir].Name(), name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			// Each time by a handle of its own, which is closed afterwards.
			handle, err := os.Open(dirs[dir].Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := j.add(handle, name, false); err != nil {
				t.Fatal(err)
			}
			_ = handle.Close()
		}
	}
	record("a", "1", "2", "3")
	record("b", "4")
	record("a", "5")
	for _, step := range []struct {
		mark  int
		held  int
		names []string
	}{
		{4, 2, []string{"1", "2", "3"}},
		{3, 1, []string{"1", "2", "3"}},
		{1, 1, []string{"1"}},
		{0, 0, nil},
	} {
		if err := j.undoSince(step.mark); err != nil {
			t.Fatal(err)
		}
		if len(j.parents) != step.held || len(j.made) != step.mark {
			t.Errorf("at %d: %d directories are held for %d entries", step.mark, len(j.parents), len(j.made))
		}
		var left []string
		entries, err := os.ReadDir(dirs["a"].Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if fmt.Sprint(left) != fmt.Sprint(step.names) {
			t.Errorf("at %d: %v are left", step.mark, left)
		}
	}
}

// What was made is removed where it lies by now, also if somebody else has made a directory of the old name.
func TestUndoFollowsTheDirectory(t *testing.T) {
	dirs, j := openDirs(t, "a"), &journal{}
	a := dirs["a"].Name()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"1", "2"} {
		must(os.WriteFile(filepath.Join(a, name), nil, 0o600))
		must(j.add(dirs["a"], name, false))
	}
	must(os.Rename(a, a+".moved"))
	must(os.Mkdir(a, 0o700))
	must(os.WriteFile(filepath.Join(a, "1"), nil, 0o600))
	must(j.undo())
	if entries, err := os.ReadDir(a + ".moved"); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(a, "1")); err != nil {
		t.Error(err)
	}
}
