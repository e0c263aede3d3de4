package hosts

import (
	"fmt"
	"regexp"
	"strings"
)

const pageHead = `# Broken hosts, and what gpu-hook says on them

Each row is a host that a test has broken for real, with podman and runc or crun, NVIDIA's own nvidia-ctk and
nvidia-cdi-hook, and gpu-hook as it is installed. The test starts a container that asks for a GPU, reads what its user
reads first, does what it says to do, and checks that the container then finds its GPUs. There is no GPU: device nodes
have the driver's numbers, the container's program takes "No such device or address" for a node that it may open, and
stand-ins make nodes and load modules as nvidia-modprobe, modprobe, apt-get and a restart would.

"In words" is a fix that is no command, of which a user makes one, or another request. ` + "`make test-hosts`" + `
judges all hosts; with ` + "`UPDATE=-update`" + ` it writes this page.

`

// page returns the verdicts as a page of the documentation: what was read and done with runc, and whether the same came
// of it with crun.
func page(verdicts []*verdict, total string) string {
	var b strings.Builder
	b.WriteString(pageHead)
	b.WriteString("| host | read first | fixes that were followed | GPU with runc, crun |\n| --- | --- | --- | --- |\n")
	gpu := map[string][]string{}
	for _, v := range verdicts {
		gpu[v.name] = append(gpu[v.name], yes(v.gpu))
	}
	for _, v := range verdicts {
		if v.runtime != "runc" {
			continue
		}
		words, done := v.where+": "+code(said(v.words)), []string{}
		for _, fix := range v.fixes {
			fix, _, _ = strings.Cut(fix, " [status")
			done = append(done, code(fix))
		}
		if v.serves {
			words, done = "nothing: it works, and doctor warns", nil
		}
		if v.mistake && v.serves {
			words = "nothing: it works"
		}
		if !v.written {
			done = append(done, "(in words)")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.name, words, strings.Join(done, "<br>"), strings.Join(gpu[v.name], ", "))
	}
	return b.String() + "\n" + total + "\n"
}

// code returns the text as it is set in a cell of a table.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

// said returns the first thing that the words say: an error's first line, a warning of a record, or doctor's first
// finding.
func said(words string) string {
	for _, pattern := range []string{
		`gpu-hook: (E-[^\n]*)`, `(?m)^(?:warning|error) ([EW]-[^\n]*)`, `(?m)^(?:FAIL|WARN) +1 +([^\n]*(?:\n {9}[^\n]*)*)`,
	} {
		match := regexp.MustCompile(pattern).FindStringSubmatch(words)
		if match == nil {
			continue
		}
		text, _, _ := strings.Cut(match[1], "\n         fix:")
		return strings.Join(strings.Fields(text), " ")
	}
	return "(nothing)"
}
