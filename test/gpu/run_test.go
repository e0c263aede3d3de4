// Package gpu tests the script for machines with an NVIDIA driver. What needs a GPU is faked; the rest of the script
// runs as it does on such a machine.
package gpu

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

const driver = "580.65.06"

// libcuda is a driver library with one device, whose memory is the program's own. cuInit returns INIT.
const libcuda = `
#include <string.h>
static unsigned char memory[4096];
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *device, int i) { *device = i; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
int cuMemAlloc_v2(unsigned long long *p, unsigned long n) { *p = (unsigned long long)memory; return 0; }
int cuMemsetD8_v2(unsigned long long p, unsigned char c, unsigned long n) { memset((void *)p, c, n); return 0; }
int cuMemcpyDtoH_v2(void *to, unsigned long long p, unsigned long n) { memcpy(to, (void *)p, n); return 0; }
`

const smi = `
#include <stdio.h>
int main(void) { puts("GPU 0: None (UUID: GPU-00000000-1111-2222-3333-444455556666)"); return 0; }
`

// spec is what the fake nvidia-ctk writes.
const spec = `cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: all
  containerEdits:
    deviceNodes: [{path: /dev/nvidia0}]
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void]
  deviceNodes: [{path: /dev/nvidiactl}]
  mounts:
  - {hostPath: TOP/host/libcuda.so.580.65.06, containerPath: /opt/driver/libcuda.so.580.65.06,
     options: [ro, nosuid, nodev, rbind, rprivate]}
  - {hostPath: TOP/host/nvidia-smi, containerPath: TOP/host/nvidia-smi, options: [ro, nosuid, nodev, rbind, rprivate]}
  hooks:
  - {hookName: createContainer, path: HOOK, args: [nvidia-cdi-hook, update-ldcache, --folder, /opt/driver],
     env: [NVIDIA_CTK_DEBUG=false]}
`

// devices runs a command with its own /dev, in which the GPU nodes are /dev/kmsg.
const devices = `
mount -t tmpfs -o mode=755 tmpfs /dev
mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/random c 1 8; mknod -m 666 /dev/urandom c 1 9; mknod -m 666 /dev/tty c 5 0
mknod -m 666 /dev/nvidiactl c 1 11; mknod -m 666 /dev/nvidia0 c 1 11
exec "$@"
`

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func compile(t *testing.T, out, source string, args ...string) {
	t.Helper()
	file := out + ".c"
	write(t, file, source, 0o644)
	gcc := exec.Command(require.Program(t, "gcc"), append(args, "-o", out, file)...)
	if text, err := gcc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// run runs the script on a fake driver whose cuInit returns init.
func run(t *testing.T, init string) (status int, output string) {
	t.Helper()
	require.Root(t)
	top := t.TempDir()
	for _, dir := range []string{"tools", "host"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, path := range map[string]string{
		"gpu-hook": require.GPUHook(t), "runc": require.Program(t, "runc"),
		"nvidia-cdi-hook": require.Program(t, "nvidia-cdi-hook"),
	} {
		if err := os.Symlink(path, filepath.Join(top, "tools", name)); err != nil {
			t.Fatal(err)
		}
	}
	compile(t, top+"/host/libcuda.so."+driver, strings.Replace(libcuda, "INIT", init, 1),
		"-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1")
	compile(t, top+"/host/nvidia-smi", smi)
	write(t, top+"/tools/nvidia-ctk", fmt.Sprintf(`#!/bin/sh
for a; do case $a in --output=*) out=${a#*=};; --nvidia-cdi-hook-path=*) hook=${a#*=};; esac; done
sed "s|HOOK|$hook|" >"$out" <<-'END'
%sEND
`, strings.ReplaceAll(spec, "TOP", top)), 0o755)
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-euc", devices, "sh",
		filepath.Join(require.Tree(), "test/gpu/run"), top+"/tools")
	cmd.Env = append(os.Environ(), "PATH="+top+"/host:"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func TestRun(t *testing.T) {
	status, output := run(t, "0")
	if status != 0 || strings.Contains(output, "FAIL") || strings.Count(output, "PASS ") != 11 {
		t.Errorf("status %d:\n%s", status, output)
	}
}

// A driver that does not work is detected, and everything else still succeeds.
func TestRunFails(t *testing.T) {
	status, output := run(t, "999")
	if status != 1 || !strings.Contains(output, "FAIL CUDA works in the container\n     cuda: cuInit: error 999") ||
		strings.Count(output, "FAIL ") != 1 || strings.Count(output, "PASS ") != 10 {
		t.Errorf("status %d:\n%s", status, output)
	}
}
