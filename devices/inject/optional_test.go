package inject

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// What is left out takes along what was made for it and nothing else. What cannot be, or must not, stays the error.
func TestLeaveOut(t *testing.T) {
	note := fault.New(fault.Skipped, "x", "left out")
	failed := errors.New("it failed")
	for _, test := range []struct {
		name string
		err  error
		note *fault.Error
		want bool
	}{
		{"optional", failed, note, true},
		{"required", failed, nil, false},
		{"astray", fault.New(fault.Mount, "x", "%w", fmt.Errorf("y: %w", astray(failed))), note, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, err := os.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			r, result, status := &rootfs{}, &Result{}, devices.Failed
			for _, name := range []string{"before", "for it"} {
				if err := os.Mkdir(dir.Name()+"/"+name, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := r.add(dir, name, true); err != nil {
					t.Fatal(err)
				}
			}
			err = r.leaveOut(1, &status, test.err, test.note, result)
			if (err == nil) != test.want || (status == devices.Skipped) != test.want || (len(result.Skipped) == 1) != test.want {
				t.Errorf("%v, %s, %v", err, status, result.Skipped)
			}
			_, before := os.Stat(dir.Name() + "/before")
			_, forIt := os.Stat(dir.Name() + "/for it")
			if before != nil || errors.Is(forIt, os.ErrNotExist) != test.want {
				t.Errorf("before: %v, for it: %v", before, forIt)
			}
			if err := r.undo(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir.Name()); len(left) > 0 {
				t.Errorf("left after all is undone: %v", left)
			}
		})
	}
	if astray(nil) != nil {
		t.Error("nothing is an error")
	}
}
