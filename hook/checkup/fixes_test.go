package checkup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// Running the fix of the first finding, again and again, ends with a host without findings.
func TestFixes(t *testing.T) {
	require.Root(t)
	shell, hook := require.Program(t, "busybox"), require.GPUHook(t)
	bin := filepath.Join(t.TempDir(), "gpu-hook")
	install(t, hook, bin)
	for _, host := range hosts() {
		if host.cause == "" || host.alter != nil || host.said != nil {
			continue
		}
		t.Run(host.name, func(t *testing.T) {
			dir := t.TempDir()
			host.tree.make(t, dir)
			tools(host.tree).make(t, dir)
			install(t, shell, filepath.Join(dir, "/bin/busybox"))
			if err := os.Link(bin, filepath.Join(dir, "/root/gpu-hook")); err != nil {
				t.Fatal(err)
			}
			done := ""
			for range 5 {
				first := host.lookAt(t, dir).Checks[0]
				if first.Status == report.CheckOK {
					return
				}
				if first.Fix == "" || strings.Contains(first.Fix, "USER") || strings.Contains(first.Fix, "doctor") {
					t.Skipf("words alone: %s", first.Hint)
				}
				if first.Fix == done {
					t.Fatalf("%q is found again after: %s", first.Message, first.Fix)
				}
				done = first.Fix
				run(t, dir, first.Fix)
			}
			t.Errorf("it is not mended after five commands, the last is %s\n%s", done, text(t, host.lookAt(t, dir)))
		})
	}
}

func install(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a command on the host, as root types it.
func run(t *testing.T, dir, command string) {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "sh", "-c", `modprobe() { /root/bin/modprobe "$@"; }; `+command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/root/bin:/usr/bin:/usr/sbin:/bin", "HOME=/root"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// tools are the programs of a host that fixes name. What they do to the kernel is done to the tree: the files below
// /stash are those of a driver that is loaded.
func tools(host tree) tree {
	const script = "mode 755 0:0 #!/bin/busybox sh\nset -e\n"
	// busybox finds itself by /proc/self/exe, and so does gpu-hook.
	out := tree{"/proc/self/exe": "link /bin/busybox", "/stash": "dir", "/etc/modprobe.d": "dir"}
	out["/root/bin/gpu-hook"] = script + `ln -sf /root/gpu-hook /proc/self/exe
status=0
/root/gpu-hook "$@" || status=$?
/bin/busybox ln -sf /bin/busybox /proc/self/exe
exit $status
`
	for _, applet := range strings.Fields("mv rm rmdir chmod chown mkdir printf mknod awk echo cat cp ls sed tr " +
		"basename touch ln uname") {
		out["/bin/"+applet] = "link busybox"
	}
	for path := range healthy() {
		if strings.HasPrefix(path, "/proc/driver/") || strings.HasPrefix(path, "/sys/bus/") {
			out["/stash"+path] = healthy()[path]
		}
	}
	out["/root/bin/load"] = script + `# loads the installed driver with the GPUs of the host
rm -rf /sys/bus
cp -a /stash/* /
v=$(ls /usr/lib/x86_64-linux-gnu | sed -n 's/^libcuda.so.//p')
for m in nvidia nvidia_uvm; do mkdir -p /sys/module/$m; echo $v >/sys/module/$m/version; done
for n in 0 1; do [ -e /dev/nvidia$n ] || mknod -m 666 /dev/nvidia$n c 195 $n; done
[ -e /dev/nvidiactl ] || mknod -m 666 /dev/nvidiactl c 195 255
[ -e /dev/nvidia-uvm ] || mknod -m 666 /dev/nvidia-uvm c 510 0
`
	modprobe := script + `[ -e /sys/module/nvidia ] || { load; exit; }
uvm() {
	n=$(awk '$2 == "nvidia-uvm" {print $1}' /proc/devices || true)
	mkdir -p /sys/module/nvidia_uvm
	[ -e /dev/nvidia-uvm ] || mknod -m 666 /dev/nvidia-uvm c ${n:-510} 0
}
node() { [ -e /dev/$1 ] || mknod -m 666 /dev/$1 c 195 $2; }
`
	if _, there := host["/usr/bin/nvidia-modprobe"]; there {
		out["/root/bin/nvidia-modprobe"] = modprobe + `while [ $# -gt 0 ]; do
	case $1 in
	-u) uvm ;;
	-c=255) node nvidiactl 255 ;;
	-c=*) node nvidia${1#-c=} ${1#-c=} ;;
	-f) shift
		n=$(sed -n 's/DeviceFileMinor: //p' $1); mkdir -p /dev/nvidia-caps
		mknod -m 666 /dev/nvidia-caps/nvidia-cap$n c 508 $n ;;
	*) exit 1 ;;
	esac
	shift
done
`
	}
	out["/root/bin/modprobe"] = script + `case $1 in
nvidia) load ;;
nvidia-drm) mkdir -p /dev/dri; mknod -m 666 /dev/dri/renderD128 c 226 128 ;;
nvidia-uvm) mkdir -p /sys/module/nvidia_uvm; echo "Character devices:
510 nvidia-uvm" >/proc/devices ;;
amdgpu) mkdir -p /dev/dri /sys/module/amdgpu; mknod -m 666 /dev/kfd c 234 0
	[ -e /dev/dri/renderD128 ] || mknod -m 666 /dev/dri/renderD128 c 226 128 ;;
*) exit 1 ;;
esac
`
	generate := script + `[ "$1 $2" = "cdi generate" ]
out=${3#--output=}
device() {
	echo "- name: \"$1\""; echo "  containerEdits:"; echo "    deviceNodes:"; shift
	for p; do echo "    - path: $p"; done
}
mkdir -p $(echo $out | sed 's,/[^/]*$,,')
v=$(cat /sys/module/nvidia/version)
{
	echo 'cdiVersion: "0.5.0"'; echo 'kind: nvidia.com/gpu'; echo 'devices:'
	i=0; all=
	for g in /proc/driver/nvidia/gpus/*/information; do
		n=$(awk -F'[: \t]+' '/Device Minor/ {print $3}' $g); u=$(awk -F'[: \t]+' '/GPU UUID/ {print $3}' $g)
		device $i /dev/nvidia$n; device $u /dev/nvidia$n; all="$all /dev/nvidia$n"; i=$((i+1))
	done
	device all $all
	if [ -e /proc/driver/nvidia/capabilities/gpu0/mig/gi1/access ]; then
		device 0:0 /dev/nvidia0 /dev/nvidia-caps/nvidia-cap12 /dev/nvidia-caps/nvidia-cap13
	fi
	echo 'containerEdits:'; echo '  deviceNodes:'; echo '  - path: /dev/nvidiactl'
	[ ! -e /dev/nvidia-uvm ] || echo '  - path: /dev/nvidia-uvm'
	echo '  mounts:'
	for l in libcuda.so libnvidia-ml.so; do
		p=/usr/lib/x86_64-linux-gnu/$l.$v; [ ! -e $p ] || echo "  - {hostPath: $p, containerPath: $p}"
	done
} >/root/spec
rm -f $out; cp /root/spec $out; chmod 644 $out
`
	if _, there := host["/usr/bin/nvidia-ctk"]; there {
		out["/root/bin/nvidia-ctk"] = generate
	}
	out["/root/pool/nvidia-ctk"] = generate
	// Run by root, it makes the nodes of MIG instances.
	out["/root/bin/nvidia-smi"] = script + `for f in /proc/driver/nvidia/capabilities/gpu0/mig/gi1/access \
	/proc/driver/nvidia/capabilities/gpu0/mig/gi1/ci0/access; do
	n=$(sed -n 's/DeviceFileMinor: //p' $f); mkdir -p /dev/nvidia-caps
	mknod -m 666 /dev/nvidia-caps/nvidia-cap$n c 237 $n
done
`
	out["/root/pool/amd-ctk"] = script + strings.ReplaceAll(`out=${3#--output=}
cat >$out <<END
SPEC
END
`, "SPEC", amdHost()["/etc/cdi/amd.json"])
	packages := script + `shift
upgrade=
upgraded() {
	sed 's/^Version: .*/Version: 1.19.1-1/' /var/lib/dpkg/status >/status; mv /status /var/lib/dpkg/status
}
for p; do
	case $p in
	amd-container-toolkit) cp /root/pool/amd-ctk /root/bin/ ;;
	nvidia-container-toolkit-base) [ ! "$upgrade" ] || { upgraded; continue; }
		cp /root/pool/nvidia-ctk /root/bin/; cp /root/pool/nvidia-ctk /usr/bin/
		cp /root/pool/nvidia-ctk /usr/bin/nvidia-cdi-hook ;;
	libcuda1) touch /usr/lib/x86_64-linux-gnu/libcuda.so.$(cat /sys/module/nvidia/version) ;;
	libnvidia-ml1) touch /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.$(cat /sys/module/nvidia/version) ;;
	nvidia-driver)
		mkdir -p /usr/lib/x86_64-linux-gnu /lib/modules/6.1.0; echo "dkms/nvidia.ko:" >/lib/modules/6.1.0/modules.dep
		touch /usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06 /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.65.06 ;;
	libnvidia-container-tools) cp /root/pool/nvidia-ctk /usr/bin/nvidia-container-cli ;;
	linux-headers-*) ;;
	--only-upgrade) upgrade=1 ;;
	nvidia-container-toolkit) upgraded ;;
	*) echo "no package $p"; exit 1 ;;
	esac
done
`
	out["/root/bin/apt-get"], out["/root/bin/dnf"] = packages, packages
	out["/root/bin/intel-cdi-specs-generator"] = script + "sed -i s/renderD129/renderD128/ ${1#--cdi-dir=}/intel.yaml\n"
	out["/root/bin/dkms"] = script + "echo dkms/nvidia.ko: >/lib/modules/6.1.0/modules.dep\n"
	out["/root/bin/update-initramfs"] = script
	out["/root/bin/setsebool"] = script + "echo 1 1 >/sys/fs/selinux/booleans/$(echo $2 | sed 's/=.*//')\n"
	out["/root/bin/systemctl"] = script + `case $1 in
reboot) rm -rf /sys/module/nouveau /dev/nvidia*; load ;;
enable) nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml
	mkdir -p /etc/systemd/system/multi-user.target.wants
	touch /etc/systemd/system/multi-user.target.wants/nvidia-cdi-refresh.path ;;
daemon-reload) ;;
restart) [ $2 = crio ] || nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml ;;
*) exit 1 ;;
esac
`
	return out
}
