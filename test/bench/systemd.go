package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// systemd compares a container in a scope of systemd's, in the given mode of start, with one for which systemd cannot
// be found. The systemd is one of the benchmark's own, as in test/systemd.
func (b *bench) systemd(mode string) func() (comparison, error) {
	return func() (comparison, error) {
		pid, err := b.boot()
		if err != nil {
			return comparison{}, err
		}
		subject, err := b.scoped(pid, "gpu-hook", mode)
		reference, otherErr := b.scoped(pid, "without systemd", "untold")
		if err := errors.Join(err, otherErr); err != nil {
			return comparison{}, err
		}
		return b.versus(b.rounds, subject, reference)
	}
}

// scoped is gpu-hook on the machine whose first process is pid.
func (b *bench) scoped(pid int, name, mode string) (side, error) {
	p, err := b.place(all())
	if err != nil {
		return side{}, err
	}
	argv := append(inside(pid, b.program("start"), mode, p.bundle), p.gpuHook(b)...)
	return b.started(name, argv), nil
}

// inside is a command line that runs a command on the machine.
func inside(pid int, argv ...string) []string {
	return append([]string{"nsenter", "--target", strconv.Itoa(pid), "--all", "--root", "--wd", "--"}, argv...)
}

// boot starts a systemd once, and returns its process.
func (b *bench) boot() (int, error) {
	if b.machine != 0 {
		return b.machine, nil
	}
	for _, program := range []string{"systemctl", "busctl", "dbus-daemon", "unshare", "nsenter", "findmnt"} {
		if _, err := installed(program); err != nil {
			return 0, err
		}
	}
	if exec.Command("findmnt", "--types", "cgroup2").Run() != nil {
		return 0, notMeasured("no cgroup2 hierarchy is mounted here")
	}
	cmd := exec.Command("test/systemd/overlay", b.dir, "2")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	b.cleanups = append(b.cleanups, func() error {
		if b.machine != 0 {
			_ = syscall.Kill(b.machine, syscall.SIGKILL) // the first process of its namespace takes no other
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for _, group := range strings.Fields(line) {
			if err := await("the end of "+group, func() bool { return removeCgroups(group) == nil }); err != nil {
				return err
			}
		}
		return nil
	})
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid)
	err = await("systemd", func() bool {
		data, _ := os.ReadFile(children)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(comm)) == "systemd" { // before that it is a command of the script's
			b.machine = pid
		}
		return b.machine != 0
	})
	return b.machine, errors.Join(err, await("systemd's bus", func() bool {
		start := inside(b.machine, "systemctl", "start", "dbus.service")
		return exec.Command(start[0], start[1:]...).Run() == nil
	}))
}

func await(what string, done func() bool) error {
	for range 1000 {
		if done() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return notMeasured("still waiting for " + what)
}

func removeCgroups(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	errs := []error{err}
	for _, dir := range slices.Backward(dirs) {
		errs = append(errs, syscall.Rmdir(dir))
	}
	return errors.Join(errs...)
}
