package holder

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// pidsCgroup makes a cgroup that bounds the number of threads in it, and returns its directory.
func pidsCgroup(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir := filepath.Join(root, "gpu-hook-test-"+strconv.Itoa(os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if os.WriteFile(filepath.Join(dir, "pids.max"), []byte("max"), 0o600) == nil {
			return dir
		}
	}
	require.Missing(t, "this test needs the cgroup controller pids")
	return ""
}

// Where the host lets no more threads be made, a start succeeds, or fails before anything was touched: all threads that
// changing the container takes exist by then. What Go itself says about it, at its own start, cannot be helped.
func TestTooFewThreads(t *testing.T) {
	dir := pidsCgroup(t)
	const most = 24
	done, failed := 0, 0
	for limit := 1; limit <= most; limit++ {
		if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte(strconv.Itoa(limit)), 0o600); err != nil {
			t.Fatal(err)
		}
		c := newContainer(t, annotated("all"))
		r := c.runCommand(c.stateText(), "/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, dir,
			require.GPUHook(t), "--config", c.host.Path("config.toml"), "createRuntime")
		if r.status == 0 {
			done++
			continue
		}
		failed++
		first, _, _ := strings.Cut(r.stderr, "\n")
		t.Logf("%d threads: status %d: %s", limit, r.status, first)
		c.unchanged()
		if node := c.sees("/dev/nvidia0"); node != "missing" {
			t.Errorf("%d threads: the container has %s", limit, node)
		}
	}
	if done == 0 || failed == 0 {
		t.Errorf("%d starts, %d failures", done, failed)
	}
}
