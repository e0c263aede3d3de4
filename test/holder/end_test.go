package holder

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// When the time limit is reached, everything is undone, and the message says that the time was the reason.
func TestTimeout(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	if err := c.host.Write("config.toml", c.host.Config()+"[limits]\ntimeout = \"1ns\"\n", 0o644); err != nil {
		t.Fatal(err)
	}
	c.start().run().refused(t, "E-TIMEOUT", "did not finish in time")
	c.unchanged()
}

// A signal ends gpu-hook while it waits for the state. Nothing has been made by then.
func TestSignalBeforeTheState(t *testing.T) {
	require.Root(t)
	cmd := exec.Command(require.GPUHook(t), "createRuntime")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write([]byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}

// A signal while a hook runs ends the hook too, and what was made is undone. That is not the failure of a wish, after
// which the container would start.
func TestSignalWhileAHookRuns(t *testing.T) {
	for name, ask := range map[string]option{
		"a request": annotated("device=0"), "a wish": withEnv("NVIDIA_VISIBLE_DEVICES=all"),
	} {
		t.Run(name, func(t *testing.T) {
			c := newBundle(t, ask)
			c.spec(hookSpec)
			// The hook shows that it runs by telling its parent, gpu-hook, to end.
			if err := c.host.Write("bin/hook", "#!/bin/sh\nkill -TERM $PPID\nexec sleep 600\n", 0o755); err != nil {
				t.Fatal(err)
			}
			r := c.start().run()
			r.refused(t, "E-HOOK", "told to end")
			c.unchanged()
		})
	}
}

// A value that is larger than any host needs is refused before it costs anything.
func TestHugeValues(t *testing.T) {
	for _, value := range []string{strings.Repeat("x", 1<<20), strings.Repeat("GPU-1,", 20000)} {
		c := newContainer(t, withEnv("NVIDIA_VISIBLE_DEVICES="+value))
		c.run().refused(t, "E-REQUEST", "longer than")
	}
}
