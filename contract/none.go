package contract

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// None is the contract of a vendor that has a dialect and CDI Specs, but no rules of its own. A contract that has some
// rules embeds None for the rest.
type None struct{ Dialect }

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

// Regenerate returns a hint that does not name a tool.
func (None) Regenerate(files ...string) string {
	return "generate " + strings.Join(files, " and ") + " anew with the vendor's tool"
}

// IsDevice returns false: nothing is known about the names of nodes.
func (None) IsDevice(string) bool { return false }

// NodeOf returns "".
func (None) NodeOf(string) string { return "" }

// HostNodes returns none.
func (None) HostNodes() []string { return nil }

// Found returns an error: there is no hook.
func (None) Found() error { return fault.New(fault.Delegate, "", "the vendor has no hook of its own") }

// CheckID returns nil for every id.
func (None) CheckID(_, _ string) error { return nil }

// Run returns an error: there is no hook.
func (n None) Run(Order) (*Delegation, error) { return nil, n.Found() }

// Given returns false.
func (None) Given(*specs.Spec, []string) bool { return false }
