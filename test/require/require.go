// Package require states what a test needs. If it is missing, the test is skipped with a message that names it; if
// GPU_HOOK_NO_SKIP is set, as in CI, the test fails.
package require

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// Missing skips or fails the test, because something that it needs is missing.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("GPU_HOOK_NO_SKIP") != "" {
		t.Fatalf("GPU_HOOK_NO_SKIP is set, and "+format, args...)
	}
	t.Skipf(format, args...)
}

// Root needs uid 0.
func Root(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "this test needs root")
	}
}

// Cgroup returns the cgroup version that containers get here, 1 or 2. It checks that it is the one in GPU_HOOK_CGROUP,
// if that is set.
func Cgroup(t testing.TB) int {
	t.Helper()
	version := 1
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		version = 2
	}
	if want := os.Getenv("GPU_HOOK_CGROUP"); want != "" && want != strconv.Itoa(version) {
		Missing(t, "this run is for cgroup version %s, and here is version %d", want, version)
	}
	return version
}

// Program requires a program and returns its path: the one that test/setup has built, or one in PATH.
func Program(t testing.TB, name string) string {
	t.Helper()
	built := filepath.Join(Tree(), "bin", "tools", name)
	if _, err := os.Stat(built); err == nil {
		return built
	}
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "this test needs %s; test/setup installs it", name)
	}
	return path
}

// Tree returns the root directory of the project.
func Tree() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

var build struct {
	once sync.Once
	path string
	out  []byte
	err  error
}

// binDir is where binaries are built for tests. GPU_HOOK_TEST_BIN is another directory: test/mutants builds what no
// other test may run.
func binDir() string {
	if dir := os.Getenv("GPU_HOOK_TEST_BIN"); dir != "" {
		return dir
	}
	return filepath.Join(Tree(), "bin", "test")
}

// GPUHook builds the binary as it is released, and returns its path.
func GPUHook(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		build.path = filepath.Join(binDir(), "gpu-hook")
		cmd := exec.Command("go", "build", "-trimpath", "-o", build.path, "./cmd/gpu-hook")
		cmd.Dir = Tree()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.out, build.err = cmd.CombinedOutput()
	})
	if build.err != nil {
		t.Fatalf("build gpu-hook: %v\n%s", build.err, build.out)
	}
	return build.path
}
