package holder

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// Two containers start at once on one root filesystem, and the first fails: what it takes back is nothing on which the
// second has mounted.
func TestStartsOnOneRootFilesystem(t *testing.T) {
	const lib = "/opt/a/lib"
	first := wishing(t, ": > ROOT/begun; "+
		"until [ -e ROOT/go ]; do sleep 0.01; done; exit 7")
	second := *first
	second.start()
	failed, done := make(chan error, 1), make(chan error, 1)
	one, other := first.target(), second.target()
	go func() {
		_, err := one.Apply(context.Background(), first.edits("createRuntime", lib), nil)
		failed <- err
	}()
	for {
		if _, err := os.Stat(first.rootfs("/begun")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	go func() {
		_, err := other.Apply(context.Background(), second.edits("", lib), nil)
		done <- err
	}()
	select {
	case err := <-done: // it did not wait; whether that was well is seen below
		done <- err
	case <-time.After(time.Second):
	}
	if err := os.WriteFile(first.rootfs("/go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("the first did not fail")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := second.sees(lib); !strings.Contains(got, gpuhost.Driver) {
		t.Errorf("the second sees: %s", got)
	}
}
