// Package deps compares what is linked into gpu-hook with docs/dependencies.md: which modules, in which versions, under
// which licences.
package deps

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
)

var update = flag.Bool("update", false, "write docs/dependencies.md")

const (
	page  = "../../docs/dependencies.md"
	begin = "<!-- modules -->\n\n"
	end   = "\n<!-- /modules -->"
)

// allowed reports whether a module under this licence, an SPDX identifier, may be linked into a program under the
// Apache License 2.0 without its source being handed out with it.
func allowed(licence string) bool {
	return slices.Contains([]string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "ISC", "MPL-2.0"}, licence)
}

// Nothing is linked that the page does not name, or under a licence that gpu-hook's does not go with.
func TestDependencies(t *testing.T) {
	var table strings.Builder
	table.WriteString("| module | version | licence |\n| --- | --- | --- |\n")
	for _, m := range linked(t) {
		found := licencesIn(t, m.dir)
		if len(found) == 0 {
			t.Errorf("%s: no licence was found", m.path)
		}
		for _, l := range found {
			if !allowed(l) {
				t.Errorf("%s is under %s", m.path, l)
			}
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", m.path, m.version, strings.Join(found, ", "))
	}
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	was, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no table between %q and %q", page, begin, end)
	}
	switch {
	case was == table.String():
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date; look at what has changed, then: go test ./test/deps -update\n%s", page, table.String())
	}
}

// module is a module that is linked into gpu-hook, with the directory of its source.
type module struct{ path, version, dir string }

// linked returns the modules of the packages that gpu-hook is built from, sorted, without its own.
func linked(t *testing.T) []module {
	t.Helper()
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`
	cmd := exec.Command("go", "list", "-deps", "-f", format, "../../cmd/gpu-hook")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return line == "" })
	slices.Sort(lines)
	var modules []module
	for _, line := range slices.Compact(lines) {
		fields := strings.SplitN(line, " ", 3)
		modules = append(modules, module{fields[0], fields[1], fields[2]})
	}
	return modules
}

// licencesIn returns the SPDX identifiers of the licences in the module's directory, or in the one above it where a
// repository has several modules, sorted.
func licencesIn(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range licensecheck.Scan(text).Match {
				found = append(found, match.ID)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
