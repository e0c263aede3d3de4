package main

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gpu-hook": main})
}

// Each script is a session on the command line, as a user types it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			if os.Getuid() != 0 && os.Getenv("GPU_HOOK_NO_SKIP") != "" {
				return false, errors.New("GPU_HOOK_NO_SKIP is set, and this test needs root")
			}
			return os.Getuid() == 0, nil
		},
	})
}
