// Command bench measures how fast gpu-hook is on this machine and prints a table: what a start costs, what something
// else costs that the same machine does in turns with it, the ratio of the two, and the goal. docs/performance.md says
// what the rows are and how they are measured. It needs root, and what test/setup installs for it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// aloneEnv says that the process has a mount namespace of its own.
const aloneEnv = "GPU_HOOK_BENCH_ALONE"

// binaries is where make bench builds what is measured.
const binaries = "bin/bench"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a run of the benchmark.
type bench struct {
	dir     string // of everything synthetic
	bin     string // of the programs that are measured
	rounds  int
	table   table
	places  map[string]func() (*place, error)
	machine int // the first process of the systemd, once there is one
	// cleanups end what runs or is mounted outside of dir.
	cleanups []func() error
}

func (b *bench) program(name string) string { return filepath.Join(b.bin, name) }

func run() (err error) {
	rounds := flag.Int("n", 60, "rounds of each row; those of podman and of 100 starts at once take a third, quiet "+
		"ones three times as many")
	only := flag.String("run", "", "only the rows whose names match the `REGEXP`")
	keep := flag.String("keep", "", "make hosts and bundles in `DIR` and leave them there, to profile with")
	flag.Parse()
	if os.Getuid() != 0 {
		return errors.New("it makes device nodes and mounts: run it as root")
	}
	if os.Getenv(aloneEnv) == "" {
		// What we have inherited must not reach what is measured.
		return errors.Join(unix.CloseRange(3, ^uint(0), 0), alone())
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	// Not in /tmp, which the systemd that is started has one of its own for.
	dir := *keep
	if dir == "" {
		if dir, err = os.MkdirTemp("/var/lib", "gpu-hook-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, removeAll(dir)) }()
	} else if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	b := &bench{dir: dir, bin: filepath.Join(dir, "bin"), rounds: *rounds}
	defer func() {
		for _, clean := range slices.Backward(b.cleanups) {
			err = errors.Join(err, clean())
		}
	}()
	if err := b.copyPrograms(); err != nil {
		return err
	}
	b.table.begin(*rounds)
	for _, r := range b.rows() {
		if pattern.MatchString(r.name) {
			b.play(r)
		}
	}
	b.table.end()
	if b.table.broken {
		return errors.New("some rows have failed")
	}
	return nil
}

// copyPrograms copies what is measured to where the systemd that is started sees it too.
func (b *bench) copyPrograms() error {
	if err := os.Mkdir(b.bin, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{"bin/tools", binaries} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if !slices.Contains(programs(), entry.Name()) {
				continue
			}
			if err := copyFile(filepath.Join(dir, entry.Name()), b.program(entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// programs are all that are measured or measure.
func programs() []string {
	return []string{
		"empty", "floor", "gofloor", "gpu-hook", "start",
		"nvidia-container-runtime", "nvidia-container-runtime-hook",
	}
}

// alone runs the benchmark in a mount namespace of its own, so that nothing it mounts is left.
func alone() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}

// removeAll removes a folder with the mounts that an engine forgets in it.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	for range 100 {
		if err == nil {
			return nil
		}
		var path *os.PathError
		if errors.As(err, &path) {
			_ = unix.Unmount(path.Path, unix.MNT_DETACH)
		}
		err = os.RemoveAll(dir)
	}
	return err
}

// play measures a row and prints it.
func (b *bench) play(r row) {
	result, err := r.measure()
	var missing notMeasured
	switch {
	case errors.As(err, &missing):
		b.table.missing(r, string(missing))
	case err != nil:
		b.table.missing(r, err.Error())
		b.table.broken = true
	default:
		b.table.add(r, result)
	}
}

// notMeasured says why a row cannot be measured here.
type notMeasured string

func (n notMeasured) Error() string { return string(n) }
