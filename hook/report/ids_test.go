package report

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	dir := t.TempDir()
	if ids := IDs(dir); ids != nil {
		t.Errorf("there are no records: %q", ids)
	}
	kept(t, dir, "b", 10, 0)
	kept(t, dir, "a", 10, time.Hour)
	records := filepath.Join(dir, "records")
	if err := os.WriteFile(filepath.Join(records, "no record"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if ids := IDs(dir); !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("%q", ids)
	}
	if err := os.Chmod(records, 0o777); err != nil {
		t.Fatal(err)
	}
	if ids := IDs(dir); ids != nil {
		t.Errorf("others may write them: %q", ids)
	}
}
