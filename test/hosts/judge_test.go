package hosts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// host is a synthetic GPU host that is broken in one way, and a container that asks for a GPU on it.
type host struct {
	name string
	// breaks are the shell commands that break the host, and prepare those before gpu-hook is installed and the Spec
	// generated.
	prepare, breaks string
	ask             ask
	// cause has the words that tell the true cause. The user reads each of them first, whatever that is.
	cause []string
	// found has what doctor says of the cause, where these are other words.
	found []string
	// want is what the container's program prints in the end, without the driver's version; GPU 0 is the default.
	want string
	// steps are what a user does who reads words that are no command.
	steps []step
	// mistake says that the request is wrong and the host is not, so that doctor has nothing to find.
	mistake bool
	// blind says that explain, which looks at the request and the devices, cannot see what is wrong.
	blind bool
	// serves says that the container gets its GPU all the same, and doctor warns.
	serves bool
	// share says that the host is one of those of make test.
	share bool
}

// ask is how the container asks, and whatever else podman is told of it. The default is the variable of images.
type ask struct {
	env, annotations, flags []string
}

// step is what to do about a fix in words that match: a command made from them, or another request.
type step struct {
	words   string
	command string
	ask     *ask
}

const gpu0 = "nvidia0"

// verdict is what came of following the words on a host.
type verdict struct {
	name, runtime string
	where         string // the words were read first: in the engine's error, by last or by doctor
	words         string // what was read first
	cause         bool   // they name the true cause
	fixes         []string
	written       bool   // each fix was a command as it stands
	gpu           bool   // the container has its GPU in the end
	end           string // what the container printed in the end
	before, after string // what doctor came to
	named         bool   // doctor named the cause
	explained     bool   // explain agreed with what happened
	mistake       bool
	serves, blind bool
}

// good reports whether nothing is left to wish for.
func (v *verdict) good() bool {
	if v.serves {
		return v.gpu && len(v.fixes) == 0 && v.named && v.after != failing
	}
	read, seen := v.cause && len(v.fixes) > 0, v.named && (v.mistake || v.before != healthy)
	return read && seen && v.gpu && (v.explained || v.blind) && v.after != failing
}

// judge breaks a host, reads what it says as its user would, follows that, and sees what came of it.
func judge(t *testing.T, h host, tree, runtime string) *verdict {
	t.Helper()
	m := boot(t, tree, runtime)
	if h.ask.env == nil && h.ask.annotations == nil {
		h.ask.env = []string{"NVIDIA_VISIBLE_DEVICES=0"}
	}
	if h.want == "" {
		h.want = gpu0
	}
	if h.found == nil {
		h.found = h.cause
	}
	m.do(h.prepare + "\nboot\nnvidia-ctk cdi generate --output=" + spec + "\n/usr/lib/gpu-hosts/gpu-hook install")
	m.do(h.breaks)
	v := &verdict{name: h.name, runtime: runtime, written: true, mistake: h.mistake, serves: h.serves, blind: h.blind}
	first := m.run(h.ask)
	doctor := m.try("gpu-hook doctor")
	v.before = status(doctor)
	v.named = h.mistake || has(doctor.stdout, h.found)
	v.explained = m.explains(h, first)
	v.follow(m, h, first, doctor)
	v.finish(m)
	v.after = status(m.try("gpu-hook doctor"))
	if !v.good() {
		t.Errorf("%s\nfirst: %s%s\nread (%s): %s\nfollowed: %q\nin the end: %s\ndoctor before (%s): %s\n"+
			"explain agrees: %t\ndoctor after (%s): %s", strings.Join(h.cause, ", "), first.stdout, first.stderr,
			v.where, v.words, v.fixes, v.end, v.before, doctor.stdout,
			v.explained, v.after, m.try("gpu-hook doctor").stdout)
	}
	return v
}

// follow does what the words say until the container has its GPU, or nothing new is said.
func (v *verdict) follow(m *machine, h host, o, doctor result) {
	for round := range 5 {
		v.end = strings.TrimSpace(o.stdout)
		if v.gpu = m.serves(o, h.want); v.gpu {
			return
		}
		if round > 0 {
			doctor = m.try("gpu-hook doctor")
		}
		where, words := m.reads(o, doctor)
		if round == 0 {
			v.where, v.words, v.cause = where, words, has(words, h.cause)
		}
		fix := v.next(words, doctor.stdout)
		if fix == "" {
			return
		}
		v.fixes = append(v.fixes, fix)
		command := fix
		for _, s := range h.steps {
			re := regexp.MustCompile(s.words)
			match := re.FindStringSubmatchIndex(fix)
			if match == nil {
				continue
			}
			v.written = v.written && s.command == "" // another request is not a command
			command = string(re.ExpandString(nil, s.command, fix, match))
			if s.ask != nil {
				h.ask = *s.ask
			}
			break
		}
		if r := m.try(command); r.status != 0 {
			v.fixes[len(v.fixes)-1] += fmt.Sprintf(" [status %d: %s]", r.status, strings.TrimSpace(r.stderr))
		}
		o = m.run(h.ask)
	}
}

// finish follows what doctor says of the rest of the host, once the container has its GPU.
func (v *verdict) finish(m *machine) {
	for range 4 {
		doctor := m.try("gpu-hook doctor")
		fix := v.next("", doctor.stdout)
		if !v.gpu || doctor.status == 0 || fix == "" {
			return
		}
		v.fixes = append(v.fixes, fix)
		m.try(fix)
	}
}

// next returns the first fix that was not followed yet: of the words, or else of doctor.
func (v *verdict) next(words, doctor string) string {
	for _, fix := range append(fixes(words), fixes(doctor)...) {
		if !slices.ContainsFunc(v.fixes, func(done string) bool { return strings.HasPrefix(done, fix) }) {
			return fix
		}
	}
	return ""
}

// run starts a container that runs a CUDA program.
func (m *machine) run(a ask) result {
	m.t.Helper()
	m.runs++
	root := fmt.Sprintf("/srv/root-%d", m.runs)
	argv := []string{"podman", "--runtime", m.runtime, "run", "--rm", "--network", "none"}
	for _, v := range a.env {
		argv = append(argv, "--env", v)
	}
	for _, v := range a.annotations {
		argv = append(argv, "--annotation", `"`+strings.ReplaceAll(v, `"`, `""`)+`"`) // podman 4 reads a line of CSV
	}
	argv = append(append(argv, a.flags...), "--rootfs", root, "cuda")
	return m.try("cp -a /srv/rootfs " + root + " && exec " + quoted(argv))
}

// explains reports whether explain, asked about the same request, says what has become of it.
func (m *machine) explains(h host, o result) bool {
	m.t.Helper()
	argv := []string{"gpu-hook", "explain", "--engine", "podman"}
	for _, v := range h.ask.env {
		argv = append(argv, "--env", v)
	}
	for _, v := range h.ask.annotations {
		argv = append(argv, "--annotation", v)
	}
	for i, v := range h.ask.flags {
		if v == "--volume" {
			argv = append(argv, "--mount", h.ask.flags[i+1])
		}
	}
	r := m.try(quoted(argv))
	if m.serves(o, h.want) {
		return r.status == 0
	}
	// Where it makes the same plan, it must say why that does not help.
	return r.status != 0 || has(r.stdout, h.found) || has(r.stdout, h.cause)
}

// serves reports whether the container's program found these GPUs, and the library of the driver that is loaded.
func (m *machine) serves(o result, gpus string) bool {
	loaded := strings.TrimSpace(m.try("cat /sys/module/nvidia/version").stdout)
	return o.status == 0 && strings.TrimSpace(o.stdout) == gpus+" "+loaded
}

// reads returns what the user reads first, and where: the engine's error, or else the record, or else doctor.
func (m *machine) reads(o, doctor result) (where, words string) {
	if strings.Contains(o.stderr, "gpu-hook: ") {
		return "engine", o.stderr
	}
	if last := m.try("gpu-hook last"); last.status == 0 && len(fixes(last.stdout)) > 0 {
		return "last", last.stdout
	}
	return "doctor", doctor.stdout
}

// fixes returns what the words say to do, in their order.
func fixes(words string) []string {
	var out []string
	in := false
	for _, line := range strings.Split(words, "\n") {
		text := strings.TrimPrefix(strings.TrimSpace(line), "gpu-hook: ")
		fix, found := strings.CutPrefix(text, "fix: ")
		switch {
		case found:
			out = append(out, fix)
		case in && strings.HasPrefix(line, "           "): // doctor's second line
			out[len(out)-1] += " " + text
			continue
		}
		in = found
	}
	return out
}

func has(text string, words []string) bool {
	text = strings.Join(strings.Fields(text), " ")
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// What doctor comes to: its status is 1, it warns, or neither.
const (
	failing = "fails"
	warning = "warns"
	healthy = "well"
)

func status(doctor result) string {
	switch {
	case doctor.status != 0:
		return failing
	case strings.Contains(doctor.stdout, "WARN") && !onlyLog(doctor.stdout):
		return warning
	}
	return healthy
}

// onlyLog reports whether doctor's one warning is that the host has no system log.
func onlyLog(text string) bool {
	return strings.Count(text, "WARN") == 1 && strings.Contains(text, "no system log")
}

func quoted(argv []string) string {
	var out []string
	for _, a := range argv {
		out = append(out, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	return strings.Join(out, " ")
}
