package contract

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// None is the contract of a vendor that has a dialect and CDI Specs, but no rules of its own. A contract that has some
// rules embeds None for the rest.
type None struct {
	Dialect
	Generator Generator // that of the vendor's Specs; none if it is not known
	Needs     []string  // device nodes of the driver that each device needs beside its own
}

// Asks returns false: only the configured visible-devices variable counts.
func (None) Asks(string) bool { return false }

// Unset returns "": without the visible-devices variable nothing is requested.
func (None) Unset(*state.Container) (variable, unsafeValue string) { return "", "" }

// ByMounts returns false.
func (None) ByMounts() bool { return false }

// SeeMounts returns false.
func (None) SeeMounts(string) bool { return false }

// Parts returns none.
func (None) Parts() []Part { return nil }

// Features returns none.
func (None) Features(*state.Container) []Feature { return nil }

// IsID returns false: every device has a CDI name.
func (None) IsID(string) bool { return false }

// Selected returns none: the driver has no parts to choose from.
func (None) Selected([]string) []string { return nil }

// Other returns nil.
func (None) Other(*state.Container) *Other { return nil }

// Admit admits every demand.
func (None) Admit(_ Container, demands []Demand) (Admission, error) {
	return Admission{Capabilities: make([][]string, len(demands))}, nil
}

// BeyondCDI returns nil.
func (None) BeyondCDI(Container) error { return nil }

// Drivers returns "": no driver versions are known.
func (None) Drivers(_, _ []string) (written, loaded string) { return "", "" }

// HasDriver returns false: nothing is known about drivers.
func (None) HasDriver() (loaded, known bool) { return false, false }

// Generate names the vendor's generator.
func (n None) Generate(kind, dir string) string {
	if n.Generator.Command == "" || kind != n.Generator.Kind {
		vendor, _, _ := strings.Cut(kind, "/")
		return "generate one with the tool of " + vendor + ", or write it"
	}
	return n.Generator.write(path.Join(dir, n.Generator.File))
}

// Regenerate names the vendor's generator if there is one file and the generator of its kind is known.
func (n None) Regenerate(kind string, files ...string) string {
	if len(files) != 1 || n.Generator.Command == "" || kind != n.Generator.Kind {
		return "generate " + strings.Join(files, " and ") + " again with the tool that wrote it"
	}
	return n.Generator.write(files[0])
}

// write returns the command that writes the file, and where it comes from.
func (g Generator) write(file string) string {
	command := strings.NewReplacer("FILE", file, "DIR", path.Dir(file)).Replace(g.Command)
	return fmt.Sprintf("%s # of %s", command, g.Origin)
}

// MendNode knows nothing about the vendor's nodes.
func (n None) MendNode(node Node) (why, hint string) {
	if node.Number != "" {
		return "", n.Regenerate(node.Kind, node.Spec)
	}
	if node.Found != "" {
		return "", fmt.Sprintf("make %s the device node again, or correct hostPath in %s", node.Path, node.Spec)
	}
	return "", "load the device's driver; if the device is gone: " + n.Regenerate(node.Kind, node.Spec)
}

// MendFiles knows nothing about the vendor's files.
func (n None) MendFiles(_ []string, kind, file string) (why, hint string) {
	return "", n.Regenerate(kind, file)
}

// MendProgram knows nothing about the vendor's programs.
func (None) MendProgram(program, _, file string) string {
	return fmt.Sprintf("install %s, or correct the hook's path in %s", program, file)
}

// IsDevice returns false: nothing is known about the names of nodes.
func (None) IsDevice(string) bool { return false }

// NodeOf returns "".
func (None) NodeOf(string) string { return "" }

// HostNodes returns none.
func (None) HostNodes() []string { return nil }

// Lacking returns those of Needs that the host has and the Specs do not give.
func (n None) Lacking(g Given) []Lack {
	var out []Lack
	for _, node := range n.Needs {
		if len(g.Nodes) == 0 || g.Has(node) {
			continue
		}
		if _, err := os.Stat(node); err == nil {
			out = append(out, Lack{Node: node, What: "it lacks " + node + ", which this host has and containers need"})
		}
	}
	return out
}

// Found returns an error: there is no hook.
func (None) Found() error { return fault.New(fault.Delegate, "", "the vendor has no hook of its own") }

// Trial returns no program.
func (None) Trial() (program string, args []string) { return "", nil }

// CheckID returns nil for every id.
func (None) CheckID(_, _ string) error { return nil }

// Run returns an error: there is no hook.
func (n None) Run(Order) (*Delegation, error) { return nil, n.Found() }

// Given returns false.
func (None) Given(*specs.Spec, []string) bool { return false }
