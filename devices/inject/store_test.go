package inject

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The first mounts are held by descriptors and the others are not; all come back.
func TestMountStore(t *testing.T) {
	var store mountStore
	defer store.close()
	dir := t.TempDir()
	stored := make([]storedMount, 3*maxHeld)
	open := 0
	for i := range stored {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		stored[i] = store.put(file)
		if _, err := file.Stat(); err == nil {
			open++
		}
	}
	if open != maxHeld {
		t.Errorf("%d are held by descriptors", open)
	}
	for i, s := range stored {
		file, err := store.take(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.Stat(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if !os.SameFile(got, want) {
			t.Errorf("%d came back as %s", i, file.Name())
		}
		_ = file.Close()
	}
	if file, err := store.take(stored[maxHeld]); err == nil {
		t.Errorf("%s came back twice", file.Name())
	}
}
