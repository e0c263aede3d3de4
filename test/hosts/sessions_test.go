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

const sessionsHead = `# Sessions

What gpu-hook says, as it appears on a terminal. A test runs the commands on a synthetic GPU host with two GPUs, a real
podman with runc, NVIDIA's own nvidia-ctk and gpu-hook as it is installed. Ids and times are replaced, and nothing else
of the output is edited. ` + "`cuda`" + ` is an image with a program of that name, which prints the GPUs and the driver that it finds.
`

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
			text: "`last` shows how the newest start went, or that of the container that is named. `ps` lists who holds " +
				"which GPU.",
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
			text: "After a restart, the module nvidia_uvm is not loaded. podman shows what is wrong, how to fix it and where " +
				"to read more. `explain` tells what the next start would come to, and changes nothing.",
			prepare: "podman rm --all --force >/dev/null; rm -rf /dev/nvidia-uvm* /sys/module/nvidia_uvm",
			commands: []string{
				"podman run --name train --annotation gpu-hook/gpus=device=0 cuda cuda",
				"gpu-hook last train",
				"nvidia-modprobe -u -c=0",
				"gpu-hook explain train",
				"podman start --attach train",
			},
		},
		{
			title: "Before there is a container",
			text:  "`explain` also takes what a container would ask for.",
			commands: []string{
				"gpu-hook explain --gpus 2",
				"gpu-hook explain --engine podman --gpus 2",
				"gpu-hook explain --gpus 3",
			},
		},
		{
			title: "Looking over a host",
			text: "The driver was updated, and the CDI Spec still names the files of the old one. Somebody has also given " +
				"podman a directory of hooks of their own, and so it does not read the one with gpu-hook's.",
			prepare: "podman rm --all --force >/dev/null\n" + upgrade + "boot\n" + otherHooks,
			commands: []string{
				"gpu-hook doctor",
				"gpu-hook install --engine podman --hooks-dir /srv/hooks.d --precreate-dir /srv/hooks.d",
				"nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
				"gpu-hook doctor",
				"podman run --rm --annotation gpu-hook/gpus=all cuda cuda",
			},
		},
	}
}

const otherHooks = `mkdir -p /etc/containers/containers.conf.d /srv/hooks.d
printf '[engine]\nhooks_dir = ["/srv/hooks.d"]\n' >/etc/containers/containers.conf.d/hooks.conf
`

// docs/sessions.md shows what the commands print now.
func TestSessions(t *testing.T) {
	require.Root(t)
	for _, program := range []string{"busybox", "podman", "runc", "unshare", "nsenter", "findmnt", "gcc"} {
		require.Program(t, program)
	}
	m := boot(t, files(t), "runc")
	m.do("busybox syslogd\nboot\nnvidia-ctk cdi generate --output=" + spec + "\n/usr/lib/gpu-hosts/gpu-hook install")
	var b strings.Builder
	b.WriteString(sessionsHead)
	for _, s := range sessions() {
		m.do(s.prepare)
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```console\n", s.title, s.text)
		for i, command := range s.commands {
			if i > 0 {
				b.WriteString("\n")
			}
			r := m.try("exec 2>&1\n" + command)
			fmt.Fprintf(&b, "# %s\n%s", command, r.stdout)
		}
		b.WriteString("```\n")
	}
	got, file := settled(b.String()), "../../docs/sessions.md"
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
		t.Errorf("docs/sessions.md is not what the commands print; read the difference, then "+
			"go test ./test/hosts -run TestSessions -update:\n%s", diff)
	}
}

// settled returns the text with ids and times that are always the same.
func settled(text string) string {
	ids := []string{"8f14e45fceea167a5a36dedd4bea2543", "c9f0f895fb98ab9159f51fd0297e236d", "45c48cce2e2d7fbdea1afc51c7c6ad26"}
	known := map[string]string{}
	text = regexp.MustCompile(`\b([0-9a-f]{12}){1}([0-9a-f]{52})?\b`).ReplaceAllStringFunc(text, func(id string) string {
		short := id[:12]
		if known[short] == "" {
			known[short] = strings.Repeat(ids[len(known)%len(ids)], 2)
		}
		return known[short][:len(id)]
	})
	for pattern, instead := range map[string]string{
		`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`: "2026-11-27T09:00:00Z",
		`\d+\.\d ms`: "2.9 ms",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, instead)
	}
	return text
}
