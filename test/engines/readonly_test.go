package engines

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// readOnlyUsr makes /usr of a mount namespace read-only, all but /usr/local, which is a link as on hosts of ostree.
// %[1]s is a directory to work in, and $hook installs.
const readOnlyUsr = `
mkdir -p %[1]s/layers; mount -t tmpfs tmpfs %[1]s/layers
for d in etc usr; do
	mkdir -p %[1]s/layers/$d/up %[1]s/layers/$d/work
	mount -t overlay overlay -o lowerdir=/$d,upperdir=%[1]s/layers/$d/up,workdir=%[1]s/layers/$d/work /$d
done
mount -t tmpfs -o mode=755 tmpfs /srv
rm -rf /usr/share/containers/oci /usr/share/gpu-hook /etc/containers/containers.conf.d /etc/containers/oci /etc/gpu-hook
rm -rf /usr/local; ln -s /srv /usr/local
mount -o remount,bind,ro /usr
if touch /usr/share/file 2>/dev/null; then echo "/usr can be written" >&2; exit 8; fi
hook="%[2]s --config %[3]s"
`

// nothingLeft ends the script if anything that gpu-hook has installed is still there.
const nothingLeft = `
if find /etc/containers/oci /etc/containers/containers.conf.d /etc/gpu-hook /srv -type f 2>/dev/null | grep . >&2
then exit 9; fi
`

func (s *site) readOnlyScript(text string) (outcome, error) {
	s.t.Helper()
	text = fmt.Sprintf(readOnlyUsr, s.Dir, s.Host.Path("bin/gpu-hook"), s.Host.Path("config.toml")) + text
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", text)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return outcome{Stdout: stdout.String(), Stderr: stderr.String()}, err
}

// On a read-only /usr install puts the definitions into /etc, podman finds both hooks there by itself, and doctor knows
// them. Without the drop-in doctor says that it is missing. Uninstall removes everything.
func TestInstallOnReadOnlyUsr(t *testing.T) {
	s := newSite(t)
	s.whole()
	b := asks("device=0")
	b.OwnHooks, b.Args = true, []string{"sh", "-c", wholeScript}
	p := s.session(precreates(t)[0], &b)
	run := strings.Join(quoted(p.Command(append([]string{"run", "--rm"}, p.Container(b)...)...)), " ")
	o, err := s.readOnlyScript(`
$hook install >&2
[ "$(ls /etc/gpu-hook/podman-hooks.d | xargs)" = "gpu-hook-precreate.json gpu-hook.json" ]
[ "$(ls /etc/containers/oci/hooks.d)" = gpu-hook.json ]
` + run + `
doctor() { $hook doctor --all --engine podman 2>&1 || :; }
doctor | grep -q "createRuntime: /etc/gpu-hook/podman-hooks.d/gpu-hook.json" || { doctor >&2; exit 10; }
mv /etc/containers/containers.conf.d/50-gpu-hook.conf /srv
doctor | grep -q "50-gpu-hook.conf, which tells podman of /etc/gpu-hook/podman-hooks.d" || { doctor >&2; exit 11; }
mv /srv/50-gpu-hook.conf /etc/containers/containers.conf.d
$hook uninstall >&2` + nothingLeft)
	if err != nil {
		t.Fatalf("%v: %s%s", err, o.Stdout, o.Stderr)
	}
	s.gaveAll(o)
}

// There a rootless podman finds what root has installed for all, and what its user has with install --user.
func TestRootlessOnReadOnlyUsr(t *testing.T) {
	require.Program(t, "setpriv")
	s, u := rootless(t)
	b := withArgs(asks("device=0"))
	b.User, b.OwnHooks = u, true
	p, err := s.NewPodman(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	run := strings.Join(quoted(p.Command(append([]string{"run", "--rm"}, p.Container(b)...)...)), " ")
	o, err := s.readOnlyScript(fmt.Sprintf(`
as_user() {
	setpriv --reuid %d --regid %d --clear-groups env -i PATH="$PATH" HOME=%[3]s XDG_RUNTIME_DIR=%[3]s/run "$@"
}
as_user mkdir -p %[3]s/run; cd %[3]s
$hook install >&2
as_user %[4]s
$hook uninstall >&2
echo "of the user"
as_user $hook install --user >&2
as_user %[4]s
as_user $hook uninstall --user >&2
if find %[3]s/.config %[3]s/.local/bin -type f -name '*gpu-hook*' | grep . >&2; then exit 9; fi
`, u.UID, u.GID, u.Home, run) + nothingLeft)
	if err != nil {
		t.Fatalf("%v: %s%s", err, o.Stdout, o.Stderr)
	}
	system, own, _ := strings.Cut(o.Stdout, "of the user\n")
	for who, text := range map[string]string{"installed by root": system, "installed by the user": own} {
		t.Run(who, func(t *testing.T) {
			outcome{Stdout: text, Stderr: o.Stderr}.has(t, "node /dev/nvidia0", "node /dev/nvidiactl", library, "open")
		})
	}
}

// The recipe of docs/readonly.md for a system extension, and the podman of a host into which it is merged.
func TestSystemExtension(t *testing.T) {
	if _, err := exec.LookPath("systemd-sysext"); err != nil {
		t.Skip("systemd-sysext is not installed: the Debian 13 of test/trixie has no systemd")
	}
	s := newSite(t)
	s.whole()
	b := asks("device=0")
	b.OwnHooks, b.Args = true, []string{"sh", "-c", wholeScript}
	p := s.session(precreates(t)[0], &b)
	run := strings.Join(quoted(p.Command(append([]string{"run", "--rm"}, p.Container(b)...)...)), " ")
	// What systemd-sysext mounts in a mount namespace of its own reaches this one through a shared mount.
	text := fmt.Sprintf(`
mount --make-rshared /; umask 022
mount -t tmpfs -o mode=755 tmpfs /etc/containers
%[1]s --config %[2]s install --destdir %[3]s/ext --bin-dir /usr/bin >&2
mkdir -p %[3]s/ext/usr/lib/extension-release.d
echo ID=_any >%[3]s/ext/usr/lib/extension-release.d/extension-release.gpu-hook
mount -t tmpfs -o mode=755 tmpfs /var/lib; mkdir /var/lib/extensions
cp -r %[3]s/ext /var/lib/extensions/gpu-hook
mount -t tmpfs -o mode=755 tmpfs /run
systemd-sysext merge >&2
if touch /usr/share/file 2>/dev/null; then echo "/usr can be written" >&2; exit 8; fi
mkdir -p /etc/containers/containers.conf.d
printf '[engine]\nhooks_dir = ["/usr/share/containers/oci/hooks.d", "/usr/share/gpu-hook/podman-hooks.d"]\n' \
	>/etc/containers/containers.conf.d/50-gpu-hook.conf
%[4]s
`, s.Host.Path("bin/gpu-hook"), s.Host.Path("config.toml"), s.Dir, run)
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", text)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	o := outcome{Stdout: stdout.String(), Stderr: stderr.String()}
	if err != nil {
		t.Fatalf("%v: %s%s", err, o.Stdout, o.Stderr)
	}
	s.gaveAll(o)
}
