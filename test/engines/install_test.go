package engines

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// install and uninstall as root, in a copy of the host's own directories. podman finds both hooks by itself. Afterwards
// only what was changed by hand is left.
func TestInstallForPodman(t *testing.T) {
	s := newSite(t)
	s.whole()
	b := asks("device=0")
	b.OwnHooks, b.Args = true, []string{"sh", "-c", wholeScript}
	p := s.session(precreates(t)[0], &b)
	hooked := strings.Join(quoted(p.Command(append([]string{"run", "--rm"}, p.Container(b)...)...)), " ")
	text := fmt.Sprintf(`
mkdir -p %[1]s/layers; mount -t tmpfs tmpfs %[1]s/layers
for d in etc usr; do
	mkdir -p %[1]s/layers/$d/up %[1]s/layers/$d/work
	mount -t overlay overlay -o lowerdir=/$d,upperdir=%[1]s/layers/$d/up,workdir=%[1]s/layers/$d/work /$d
done
rm -rf /usr/share/containers/oci/hooks.d /etc/containers/containers.conf.d
hook="%[2]s --config %[3]s"
$hook install >&2
ls /usr/share/containers/oci/hooks.d >&2
[ "$(ls /usr/share/containers/oci/hooks.d)" = gpu-hook.json ]
%[4]s
$hook uninstall >&2
find /usr/share/containers/oci /usr/share/gpu-hook /etc/containers/containers.conf.d /usr/local/bin/gpu-hook \
	-type f 2>/dev/null | grep . >&2 && exit 9
$hook install --engine crio >&2
[ ! -e /etc/containers/containers.conf.d/50-gpu-hook.conf ] && [ ! -e /usr/share/gpu-hook ]
`, s.Dir, s.Host.Path("bin/gpu-hook"), s.Host.Path("config.toml"), hooked)
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

func quoted(argv []string) (out []string) {
	for _, a := range argv {
		out = append(out, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	return out
}
