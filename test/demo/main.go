// Command demo demonstrates gpu-hook on a synthetic GPU host. It runs real containers through the shipped hook
// definition, and prints what each of them got and what gpu-hook reports about it. It leaves nothing behind.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// look is what each container runs.
const look = `echo "/dev:          $(cd /dev && ls -d nvidia* 2>/dev/null | tr '\n' ' ')"
echo "libraries:     $(ls ` + gpuhost.LibDir + ` 2>/dev/null | tr '\n' ' ')"
if [ -e /dev/nvidia0 ]; then
	if (: >/dev/nvidia0) 2>/dev/null; then echo "open nvidia0:  works"; else echo "open nvidia0:  denied"; fi
fi`

const intro = `A GPU host made of nothing: two "GPUs" (/dev/nvidia0 and 1 are /dev/kmsg, 1:11, in truth, ` +
	`which runtimes deny to
containers), text files for libraries, and a CDI Spec that describes them, as nvidia-ctk would write it.
gpu-hook is installed there, with its shipped hook definition. What follows are real containers.
`

// scene is one container.
type scene struct {
	title   string
	podman  bool
	bundle  gpuhost.Bundle
	prepare func(*engine.Site) error
	refused bool
}

func gpus(value string) gpuhost.Bundle {
	return gpuhost.Bundle{Annotations: map[string]string{"gpu-hook/gpus": value}}
}

func scenes() []scene {
	return []scene{
		{title: "runc: the annotation asks for GPU 0", bundle: gpus("device=0")},
		{title: "podman: the annotation asks for all GPUs", podman: true, bundle: gpus("all")},
		{
			title: "podman: the environment asks for GPU 1, as CUDA images do", podman: true,
			bundle: gpuhost.Bundle{Env: []string{"NVIDIA_VISIBLE_DEVICES=1"}},
		},
		{title: "podman: nothing is asked for", podman: true},
		{title: "podman: GPU 7 is asked for, and there is none", podman: true, bundle: gpus("device=7"), refused: true},
		{
			title:  "podman: the CDI Spec is gone, so NVIDIA's own hook takes over (with a recorder for nvidia-container-cli)",
			podman: true, bundle: gpus("device=0"),
			prepare: func(s *engine.Site) error { return s.Delegate("bin/tools/nvidia-container-runtime-hook") },
		},
	}
}

func main() {
	if err := show(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func show() (err error) {
	if os.Getuid() != 0 {
		return errors.New("it makes device nodes and containers: run it as root")
	}
	dir, err := os.MkdirTemp("", "gpu-hook-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := filepath.Abs("bin/gpu-hook")
	if err != nil {
		return err
	}
	site, err := engine.New(dir, binary)
	if err != nil {
		return err
	}
	fmt.Print(intro)
	for i, s := range scenes() {
		if err := s.play(site, i+1); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	fmt.Println("\nThat was all; nothing of it is left on this machine. To use it: make install, see README.md.")
	return nil
}

func (s scene) play(site *engine.Site, number int) error {
	fmt.Printf("\n=== %d. %s\n", number, s.title)
	if s.prepare != nil {
		if err := s.prepare(site); err != nil {
			return err
		}
	}
	fmt.Println("\n    " + s.command())
	s.bundle.Args = []string{"sh", "-c", look}
	outcome, err := s.run(site)
	if err != nil {
		return err
	}
	started := outcome.Status == 0
	if started == s.refused {
		return fmt.Errorf("the container ended with status %d: %s", outcome.Status, outcome.Stderr)
	}
	if started {
		fmt.Println("\nThe container sees")
		indent(outcome.Stdout)
	} else {
		fmt.Println("\nThe container does not start; the engine says")
		indent(outcome.Stderr)
	}
	if len(s.bundle.Annotations)+len(s.bundle.Env) == 0 {
		fmt.Println("\ngpu-hook did nothing and wrote nothing down: its newest record is still that of the container before.")
		return nil
	}
	last, err := site.GPUHook("last")
	if err != nil {
		return err
	}
	fmt.Println("\ngpu-hook last says")
	indent(last.Stdout)
	return nil
}

func (s scene) run(site *engine.Site) (engine.Outcome, error) {
	if s.podman {
		return site.Podman(s.bundle)
	}
	return site.Runc("runc", s.bundle)
}

// command returns what a user would type to start the container.
func (s scene) command() string {
	var asks []string
	for k, v := range s.bundle.Annotations {
		asks = append(asks, "--annotation "+k+"="+v)
	}
	for _, v := range s.bundle.Env {
		asks = append(asks, "--env "+v)
	}
	if s.podman {
		return "podman run --rm " + strings.Join(append(asks, "IMAGE ..."), " ")
	}
	return `runc run ID      with "annotations": {"gpu-hook/gpus": "device=0"} and the hook in config.json, ` +
		`as an engine writes them`
}

func indent(text string) {
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		fmt.Print("    " + line)
	}
}
