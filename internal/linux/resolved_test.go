package linux

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Both ways to open a resolved path refuse every link.
func TestOpenResolved(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.Mkdir(dir+"/a", 0o700), os.WriteFile(dir+"/a/f", nil, 0o600), os.Symlink("a", dir+"/link"),
		os.Symlink("f", dir+"/a/l"))
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(string) (*os.File, error){
		"openat2": OpenResolved, "without it": openThenCompare,
	} {
		for path, want := range map[string]bool{
			"/a/f": true, "/a": true, "/link/f": false, "/a/l": false, "/link": false, "/none": false,
		} {
			file, err := open(dir + path)
			if (err == nil) != want {
				t.Errorf("%s: %s: %v", name, path, err)
			}
			if err == nil {
				_ = file.Close()
			}
		}
	}
}
