// Package contract is what gpu-hook must know of a vendor beyond its CDI Specs: how containers ask for its devices, what
// must hold before they get any, what makes a Spec stale, and how the vendor's own hook is run.
//
// [Vendor] is the whole of it. Packages nvidia and amd implement it; [None] is the contract of a vendor without rules of
// its own. Package config chooses a contract for each configured vendor, and package hook asks no vendor by name.
package contract

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Vendor is one vendor's contract. It reads the container, the host and its own configuration, and changes nothing.
type Vendor interface {
	Dialect
	Requests
	Preconditions
	Specs
	Delegate
}

// Dialect is the grammar in which containers name a vendor's devices.
type Dialect interface {
	// ParseVisible reads the value of the vendor's visible-devices variable.
	ParseVisible(unsafeValue string) (Visible, error)
	// Unknown explains why no CDI Spec can define the device, and what to do; or returns "".
	Unknown(unsafeDevice string) (why, hint string)
}

// Visible is what a list of devices requests.
type Visible struct {
	// IDs as they were written, each once; ["all"] for all devices; none for no device.
	IDs []string
	// None requests the driver's files without a device.
	None bool
	// Nothing is "", or says why nothing at all is requested, such as "void" or "empty".
	Nothing string
}

// Requests is by what else than its visible-devices variable a container requests a vendor's devices.
type Requests interface {
	// Asks reports whether the variable has a say in what the container gets of this vendor.
	Asks(variable string) bool
	// Unset returns the variable by which an image of this container requests all devices without the vendor's
	// visible-devices variable, and its value; or "".
	Unset(c *state.Container) (variable, unsafeValue string)
	// ByMounts reports whether mounts below /var/run/nvidia-container-devices request devices of this vendor.
	ByMounts() bool
	// SeeMounts reports whether the value of the visible-devices variable only says that mounts request devices.
	SeeMounts(unsafeValue string) bool
	// Parts returns what is requested apart from devices.
	Parts() []Part
	// Features returns what the container's environment requests beside devices.
	Features(c *state.Container) []Feature
	// IsID reports whether id names a device although it is not the name of a CDI device.
	IsID(unsafeID string) bool
	// Selected returns those of Docker's capabilities that select a part of the vendor's driver, in their order.
	Selected(capabilities []string) []string
	// Other returns the vendor's own hook that config.json runs beside gpu-hook, or nil.
	Other(c *state.Container) *Other
}

// Part is something that is requested, and takes precedence, apart from devices.
type Part struct {
	Name     string // within gpu-hook
	Kind     string // of CDI
	Variable string // by which a container requests it
	// Parse reads a list of its ids. No ids mean nothing.
	Parse func(unsafeIDs []string) ([]string, error)
	Noun  string // of one, in messages
	Hint  string // what to write instead of a list that makes no sense
}

// Feature is something beside devices that an image requests by a variable with a fixed value.
type Feature struct{ Variable, Value, Kind string }

// Other is the vendor's own hook in config.json. It runs for the container whatever gpu-hook decides, by its own rules.
type Other struct {
	Path, Stage string
	Serves      Visible  // what it will serve; nothing if Visible.Nothing is set
	Variable    string   // that it goes by; "" for mounts
	Value       string   // of the variable or the mounts
	Selected    []string // the driver capabilities that the image requests of it
	Off         string   // the variable, with its value, that keeps it from serving anything
}

// Container is the container as a contract sees it.
type Container struct {
	*state.Container
	Root      string // absolute path of its root filesystem; "" where it has none yet
	EnvCounts bool   // whether its environment is one of the sources that count for it
}

// Demand is one request for devices, as far as a contract judges it.
type Demand struct {
	What         string   // names the request in messages
	Capabilities []string // Docker's, by which it chose the vendor or a part of the driver
}

// Preconditions is what must hold before any driver of the vendor is tried.
type Preconditions interface {
	// Admit returns why the demands must not be served, or how they were admitted.
	Admit(c Container, demands []Demand) (Admission, error)
	// BeyondCDI returns why CDI cannot serve a container whose requests demand what CDI has no name for, or nil.
	BeyondCDI(c Container) error
}

// Admission is what came of admitted demands.
type Admission struct {
	// Capabilities of the driver that each demand came to; nil where the vendor's driver has none to choose from.
	Capabilities [][]string
	Warnings     []*fault.Error
}

// Specs is what the vendor's CDI Specs are judged by.
type Specs interface {
	// Drivers returns the driver that a Spec with these host files and hook arguments was written for, and the one
	// that the host runs. Both are "" where they are not known, or the same.
	Drivers(files, arguments []string) (written, loaded string)
	// Regenerate says how the Specs in these files are generated again.
	Regenerate(files ...string) string
	// IsDevice reports whether the path is that of a device node of one whole device.
	IsDevice(node string) bool
	// NodeOf returns the device node of the whole device with this id, or "" where the id does not tell.
	NodeOf(id string) string
	// HostNodes returns the device nodes of all whole devices of the host.
	HostNodes() []string
}

// Delegate is the vendor's own hook, where gpu-hook runs it.
type Delegate interface {
	// Found returns why the hook, or a program that it runs, is missing or cannot be used, or nil.
	Found() error
	// CheckID returns why the hook cannot serve the id of the part ("" for devices), or nil.
	CheckID(part, id string) error
	// Run plans one run of the hook that serves all of the order, or returns why it cannot: before all else, what Found
	// returns.
	Run(o Order) (*Delegation, error)
	// Given reports whether the spec has what the hook would inject for these ids already.
	Given(spec *specs.Spec, ids []string) bool
}

// Order is what a vendor's own hook is to serve, all at once: it can be run only once for a container.
type Order struct {
	Container Container
	IDs       []string            // the vendor's own; none for the driver's files alone
	Parts     map[string][]string // ids of each part, by its name
	Demands   []Demand
	FromEnv   bool // whether the container's environment is what requests
}

// Delegation is a run of a vendor's own hook.
type Delegation struct {
	Path string
	Args []string // with argv[0]; relative to the private bundle
	// Env are the variables that the request came to. They are in the private config.json, where the hook reads them;
	// they are not the environment of the hook's own process.
	Env []string
	// Program are those of them that programs in the container look at too.
	Program []string
	// Files of the private bundle, by name.
	Files map[string][]byte
}

// Reserved reports whether an id is a word that means a whole list, and never a device.
func Reserved(id string) bool { return id == "none" || id == "void" }
