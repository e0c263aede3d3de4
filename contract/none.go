package contract

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// None is the contract of a vendor without rules of its own: a dialect, and CDI Specs. A contract with some rules embeds
// it for the others.
type None struct{ Dialect }

// Asks is false: only the configured visible-devices variable counts.
func (None) Asks(string) bool { return false }

// Unset is nothing.
func (None) Unset(*state.Container) (variable, unsafeValue string) { return "", "" }

// ByMounts is false.
func (None) ByMounts() bool { return false }

// SeeMounts is false.
func (None) SeeMounts(string) bool { return false }

// Parts is empty.
func (None) Parts() []Part { return nil }

// Features is empty.
func (None) Features(*state.Container) []Feature { return nil }

// IsID is false: every device has a CDI name.
func (None) IsID(string) bool { return false }

// Selected is empty: the driver has no parts to choose from.
func (None) Selected([]string) []string { return nil }

// Other is nil.
func (None) Other(*state.Container) *Other { return nil }

// Admit admits every demand.
func (None) Admit(_ Container, demands []Demand) (Admission, error) {
	return Admission{Capabilities: make([][]string, len(demands))}, nil
}

// BeyondCDI is nil.
func (None) BeyondCDI(Container) error { return nil }

// Drivers are not known.
func (None) Drivers(_, _ []string) (written, loaded string) { return "", "" }

// Regenerate names no tool.
func (None) Regenerate(files ...string) string {
	return "generate " + strings.Join(files, " and ") + " anew with the vendor's tool"
}

// IsDevice is false: nothing is known of node names.
func (None) IsDevice(string) bool { return false }

// NodeOf is "".
func (None) NodeOf(string) string { return "" }

// HostNodes is empty.
func (None) HostNodes() []string { return nil }

// Found is an error: there is no hook.
func (None) Found() error { return fault.New(fault.Delegate, "", "the vendor has no hook of its own") }

// CheckID accepts every id.
func (None) CheckID(_, _ string) error { return nil }

// Run is an error: there is no hook.
func (n None) Run(Order) (*Delegation, error) { return nil, n.Found() }

// Given is false.
func (None) Given(*specs.Spec, []string) bool { return false }
