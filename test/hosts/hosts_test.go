// Package hosts builds GPU hosts that are broken, each in one way, and judges what gpu-hook says on them by doing what
// it says. A host is real but for the driver and the GPU: it has its own /dev, /etc, /proc/driver and /sys/module,
// podman with runc and crun, NVIDIA's own nvidia-ctk and nvidia-cdi-hook, and gpu-hook as install puts it in place.
// Programs that need a kernel's driver, a distribution or a systemd have stand-ins, in testdata.
package hosts

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpu-hook/gpu-hook/test/require"
)

var update = flag.Bool("update", false, "write docs/sessions.md, and docs/hosts.md if all hosts are judged")

// On every broken host the user reads the true cause and what mends it, does that, and the container has its GPU. With
// GPU_HOOK_HOSTS=FILE, as in make test-hosts, all hosts are judged with both runtimes, and FILE gets the table.
func TestHosts(t *testing.T) {
	require.Root(t)
	for _, program := range []string{"busybox", "podman", "runc", "crun", "unshare", "nsenter", "findmnt", "gcc"} {
		require.Program(t, program)
	}
	table := os.Getenv("GPU_HOOK_HOSTS")
	tree := files(t)
	begin := time.Now()
	var verdicts []**verdict
	// The hosts are judged beside each other, in a test of their own that waits for them.
	t.Run("host", func(t *testing.T) {
		t.Run("sessions", func(t *testing.T) {
			t.Parallel()
			compareSessions(t, tree)
		})
		for i, h := range all() {
			for j, runtime := range []string{"runc", "crun"} {
				if table == "" && (!h.share || i%2 != j) {
					continue
				}
				v := new(*verdict)
				verdicts = append(verdicts, v)
				t.Run(h.name+" with "+runtime, func(t *testing.T) {
					t.Parallel()
					*v = judge(t, h, tree, runtime)
				})
			}
		}
	})
	if table == "" {
		return
	}
	var done []*verdict
	for _, v := range verdicts {
		if *v != nil {
			done = append(done, *v)
		}
	}
	if *update {
		text := page(done, strings.TrimSpace(total(done)))
		if err := os.WriteFile("../../docs/hosts.md", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := render(done) + fmt.Sprintf("\n%s\n", time.Since(begin).Round(time.Second))
	if err := os.WriteFile(table, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func all() []host {
	return slices.Concat(driverHosts(), nodeHosts(), specHosts(), engineHosts(), policyHosts(), requestHosts(),
		containerHosts())
}
