package hosts

import (
	"bufio"
	"bytes"
	"context"
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
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// machine is a synthetic GPU host that runs in namespaces of its own.
type machine struct {
	t       *testing.T
	runtime string
	pid     int    // of its first process
	cgroup  string // of all that runs on it
	runs    int
}

// boot starts a host with the files of the tree, which ends with the test.
func boot(t *testing.T, tree, runtime string) *machine {
	t.Helper()
	m := &machine{t: t, runtime: runtime}
	dir, err := os.MkdirTemp("/var/lib", "gpu-hook-") //nolint:usetesting // no layer of the overlay may lie in another
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("testdata/machine", tree, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	m.cgroup = strings.TrimSpace(line)
	t.Cleanup(func() { m.end(cmd, dir) })
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid)
	m.await("its first process", func() bool {
		data, _ := os.ReadFile(children)
		m.pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.pid))
		return strings.TrimSpace(string(comm)) == "sleep" || cmd.ProcessState != nil || stderr.Len() > 0
	})
	if stderr.Len() > 0 {
		t.Fatalf("the host does not come up: %s", &stderr)
	}
	// The process that waits for the first one would keep the cgroup from giving controllers to containers.
	if err := os.WriteFile(m.cgroup+"/init/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	return m
}

// end stops the host and removes what is left of it.
func (m *machine) end(cmd *exec.Cmd, dir string) {
	if m.pid != 0 {
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	m.await("the end of "+m.cgroup, func() bool { return removeCgroups(m.cgroup) == nil })
	if err := os.RemoveAll(dir); err != nil {
		m.t.Error(err)
	}
}

func (m *machine) await(what string, done func() bool) {
	m.t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.t.Fatalf("still waiting for %s", what)
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
		errs = append(errs, unix.Rmdir(dir))
	}
	return errors.Join(errs...)
}

// result is how a command on the host ended.
type result struct {
	status         int
	stdout, stderr string
}

// try runs a shell command on the host.
func (m *machine) try(command string) result {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `echo 0 >"$0/init/cgroup.procs" && `+
		`exec nsenter --target "$1" --all --root --wd -- sh -c "$2"`, m.cgroup, strconv.Itoa(m.pid), command)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && (cmd.ProcessState == nil || ctx.Err() != nil) {
		m.t.Fatalf("%s: %v: %s", command, errors.Join(err, ctx.Err()), &stderr)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// do runs a shell command on the host that must succeed.
func (m *machine) do(command string) {
	m.t.Helper()
	r := m.try("set -eu\n" + command)
	if r.status != 0 {
		m.t.Fatalf("%s: status %d: %s%s", command, r.status, r.stdout, r.stderr)
	}
}

// files makes the tree of files that a host has more than this machine: a driver, programs and gpu-hook.
func files(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	var errs []error
	put := func(from, to string) {
		data, err := os.ReadFile(from)
		errs = append(errs, err, os.MkdirAll(filepath.Dir(filepath.Join(tree, to)), 0o755),
			os.WriteFile(filepath.Join(tree, to), data, 0o755))
	}
	programs, err := filepath.Glob("testdata/bin/*")
	errs = append(errs, err)
	for _, program := range programs {
		put(program, "usr/bin/"+filepath.Base(program))
	}
	for _, program := range []string{"nvidia-ctk", "nvidia-cdi-hook"} {
		put(require.Program(t, program), "usr/bin/"+program)
	}
	put(require.Program(t, "memlock.so"), "usr/lib/gpu-hosts/memlock.so")
	put(require.GPUHook(t), "usr/lib/gpu-hosts/gpu-hook")
	errs = append(errs, gpuhost.RootFS(filepath.Join(tree, "srv/rootfs")))
	put("testdata/cuda", "srv/rootfs/bin/cuda")
	errs = append(errs, os.Symlink("busybox", filepath.Join(tree, "srv/rootfs/bin/printf")))
	for name, text := range map[string]string{
		"etc/containers/containers.conf": `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
crun = ["/usr/local/bin/crun"]
`,
		"etc/containers/storage.conf": "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\n" +
			"graphroot = \"/var/lib/containers/storage\"\n",
		// An old crun needs help on a machine where limits cannot be raised.
		"usr/local/bin/crun": "#!/bin/sh\nLD_PRELOAD=/usr/lib/gpu-hosts/memlock.so exec /usr/bin/crun \"$@\"\n",
	} {
		file := filepath.Join(tree, name)
		errs = append(errs, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o755))
	}
	for n := range 2 {
		name := fmt.Sprintf("0000:0%d:00.0", n+1)
		text := fmt.Sprintf("Model: \t\t NVIDIA H100\nIRQ:   \t\t 10\nGPU UUID: \t %s\nBus Location: \t %s\n"+
			"Device Minor: \t %d\n", gpuhost.UUID(n), name, n)
		file := filepath.Join(tree, "var/lib/gpus", name)
		errs = append(errs, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600))
	}
	errs = append(errs, os.MkdirAll(filepath.Join(tree, "etc/modprobe.d"), 0o755))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	driver(t, tree, gpuhost.Driver)
	driver(t, filepath.Join(tree, "var/lib/packages/nvidia-driver"), newDriver)
	return tree
}

// newDriver is the version of the driver that can be installed.
const newDriver = "580.95.05"

// driver makes the files of NVIDIA's driver of this version in a tree.
func driver(t *testing.T, tree, version string) {
	t.Helper()
	var name unix.Utsname
	errs := []error{unix.Uname(&name)}
	libraries := filepath.Join(tree, gpuhost.LibDir)
	modules := filepath.Join(tree, "usr/lib/modules", unix.ByteSliceToString(name.Release[:]))
	errs = append(errs, os.MkdirAll(libraries, 0o755), os.MkdirAll(modules+"/updates", 0o755))
	for _, module := range []string{"nvidia", "nvidia-uvm"} {
		errs = append(errs, os.WriteFile(modules+"/updates/"+module+".ko", []byte(version+"\n"), 0o600))
	}
	errs = append(errs, os.WriteFile(modules+"/modules.dep",
		[]byte("updates/nvidia.ko:\nupdates/nvidia-uvm.ko: updates/nvidia.ko\n"), 0o600))
	for library, source := range map[string]string{"libcuda": "libcuda.c", "libnvidia-ml": "nvml.c"} {
		file := fmt.Sprintf("%s/%s.so.%s", libraries, library, version)
		out, err := exec.Command("gcc", "-shared", "-fPIC", "-O", "-DVERSION=\""+version+"\"", "-Wl,-soname,"+library+".so.1",
			"-o", file, "testdata/"+source).CombinedOutput()
		if err != nil {
			t.Fatalf("gcc: %v: %s", err, out)
		}
		errs = append(errs, os.Symlink(filepath.Base(file), libraries+"/"+library+".so.1"))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
