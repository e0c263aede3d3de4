package hosts

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// The programs whose words docs/sessions.md shows besides gpu-hook's.
const (
	shownPodman = "podman version 4.3.1"
	shownRunc   = "runc version 1.1.5"
)

const sessionsHead = `# Sessions

What gpu-hook prints, command by command. A test runs these commands on a synthetic GPU host with two GPUs, and compares
the output with this page: ` + shownPodman + `, ` + shownRunc + `, NVIDIA's own nvidia-ctk, and gpu-hook as
''gpu-hook install'' puts it in place. Ids, times and the
major number of nvidia_uvm are replaced; nothing else of the output is edited. The image
''cuda'' has a program of that name, which prints the GPUs and the driver version that it finds.
`

// marked returns the text with marks of code, which a Go string cannot hold between its own.
func marked(text string) string { return strings.ReplaceAll(text, "''", "`") }

// session is a part of docs/sessions.md.
type session struct {
	title, text string
	prepare     string   // what happens to the host before
	commands    []string // what is typed
}

// imageOfCUDA makes the image of which the containers are.
const imageOfCUDA = `tar -C /srv/rootfs -c . | podman import - cuda
sed -i '/^\[containers\]/a netns = "none"' /etc/containers/containers.conf
sed -i '/^\[engine\]/a runtime = "runc"' /etc/containers/containers.conf
`

func sessions() []session {
	return []session{
		{
			title: "A container with a GPU",
			text: `The first container runs to its end, the other two go on. ''last'' shows how the start of the named container
went, or that of the newest one. The variable ''NVIDIA_VISIBLE_DEVICES=void'' comes from the CDI Spec: it keeps other
hooks of NVIDIA's from adding devices. ''ps'' lists which running containers hold which GPUs.`,
			prepare: imageOfCUDA,
			commands: []string{
				"podman run --rm --annotation gpu-hook/gpus=device=0 cuda cuda",
				"podman run -d --name train --annotation gpu-hook/gpus=device=0 cuda sleep 1000",
				"podman run -d --name serve --env NVIDIA_VISIBLE_DEVICES=all cuda sleep 1000",
				"gpu-hook last train",
				"gpu-hook ps",
			},
		},
		{
			title: "A container that is refused",
			text: `The host was restarted, and the module nvidia_uvm is not loaded yet. podman shows what is wrong, how to fix it
and where to read more. ''explain'' says what the container's next start would come to, and changes nothing.`,
			prepare: "podman rm --all --force --time 0 >/dev/null; rm -rf /dev/nvidia-uvm* /sys/module/nvidia_uvm",
			commands: []string{
				"podman run --name train --annotation gpu-hook/gpus=device=0 cuda cuda",
				"gpu-hook last train",
				"nvidia-modprobe -u -c=0",
				"gpu-hook explain train",
				"podman start --attach train",
			},
		},
		{
			title: "A request that no container makes yet",
			text:  `''explain'' also takes a request, before there is a container.`,
			commands: []string{
				"gpu-hook explain --gpus 2",
				"gpu-hook explain --gpus 3",
			},
		},
		{
			title: "Looking over a host",
			text: `Two things are wrong here. The driver was updated, and the CDI Spec still names the files of the old one. And
somebody has made a directory of hooks, and configured podman to read that one alone. ''doctor'' finds both. Each fix
is followed as it is written, with ''--quiet'' because nvidia-ctk also lists what it does not find.`,
			prepare: "podman rm --all --force --time 0 >/dev/null\n" + upgrade + "boot\n" + otherHooks,
			commands: []string{
				"gpu-hook doctor",
				"gpu-hook install --engine podman --hooks-dir /srv/hooks.d --precreate-dir /srv/hooks.d",
				"nvidia-ctk --quiet cdi generate --output=/etc/cdi/nvidia.yaml",
				"gpu-hook doctor",
				"podman run --rm --annotation gpu-hook/gpus=all cuda cuda",
			},
		},
	}
}

const otherHooks = `mkdir -p /etc/containers/containers.conf.d /srv/hooks.d
printf '[engine]\nhooks_dir = ["/srv/hooks.d"]\n' >/etc/containers/containers.conf.d/hooks.conf
`

// record returns docs/sessions.md as the commands print it now.
func record(t *testing.T, tree string) string {
	t.Helper()
	m := boot(t, tree, "runc")
	m.do("busybox syslogd\nboot\nnvidia-ctk cdi generate --output=" + spec + "\n/usr/lib/gpu-hosts/gpu-hook install")
	for _, version := range []string{shownPodman, shownRunc} {
		program, _, _ := strings.Cut(version, " ")
		if r := m.try(program + " --version"); !strings.HasPrefix(r.stdout, version) {
			require.Missing(t, "docs/sessions.md shows the words of %s, and here is %s", version, r.stdout)
		}
	}
	var b strings.Builder
	b.WriteString(marked(sessionsHead))
	for _, s := range sessions() {
		m.do(s.prepare)
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```console\n", s.title, marked(s.text))
		for i, command := range s.commands {
			if i > 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "# %s\n%s", command, m.try("exec 2>&1\n"+command).stdout)
		}
		b.WriteString("```\n")
	}
	return settled(b.String())
}

// compareSessions fails the test if docs/sessions.md is not what the commands print now. With -update it writes it.
func compareSessions(t *testing.T, tree string) {
	t.Helper()
	const file = "../../docs/sessions.md"
	got := record(t, tree)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("docs/sessions.md (-) is not what the commands print (+). Read the difference, then: "+
			"go test ./test/hosts -run TestHosts/host/sessions -update\n%s", diff)
	}
}

// settled returns the text with ids, times and numbers of devices that are always the same.
func settled(text string) string {
	ids := []string{
		"8f14e45fceea167a5a36dedd4bea2543", "c9f0f895fb98ab9159f51fd0297e236d", "45c48cce2e2d7fbdea1afc51c7c6ad26",
	}
	known := map[string]string{}
	text = regexp.MustCompile(`\b[0-9a-f]{12}([0-9a-f]{52})?\b`).ReplaceAllStringFunc(text, func(id string) string {
		short := id[:12]
		if known[short] == "" {
			known[short] = strings.Repeat(ids[len(known)%len(ids)], 2)
		}
		return known[short][:len(id)]
	})
	for pattern, instead := range map[string]string{
		`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`: "2026-11-27T09:00:00Z",
		`\d+\.\d ms`:    "2.9 ms",
		`\bc [45]\d\d:`: "c 511:", // the kernel chooses the number
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, instead)
	}
	return text
}
