// Package contract defines what gpu-hook must know about a vendor beyond its CDI Specs: how containers request its
// devices, what must hold before they get any, what makes a Spec stale, and how the vendor's own hook is run.
//
// [Vendor] is the whole contract. Package nvidia implements it, and package amd its [Dialect]. [None] is the contract
// of a vendor without rules of its own. Package config chooses a contract for each configured vendor, and package hook
// has no code for a particular vendor.
package contract

import (
	"slices"

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
	// Unknown returns why no CDI Spec can define the device, and what to do instead; or "" if a Spec can.
	Unknown(unsafeDevice string) (why, hint string)
}

// Visible is what a list of devices requests.
type Visible struct {
	// IDs are the ids as they were written, each once; ["all"] for all devices; empty for no device.
	IDs []string
	// None says that the driver's files are requested without a device.
	None bool
	// Nothing says why nothing at all is requested, such as "void" or "empty". It is "" if something is requested.
	Nothing string
}

// Requests describes how a container requests a vendor's devices other than by the visible-devices variable.
type Requests interface {
	// Asks reports whether the variable influences what the container gets from this vendor.
	Asks(variable string) bool
	// Unset returns the variable, and its value, by which the container's image requests all devices if the vendor's
	// visible-devices variable is not set; or "".
	Unset(c *state.Container) (variable, unsafeValue string)
	// ByMounts reports whether mounts below /var/run/nvidia-container-devices request devices of this vendor.
	ByMounts() bool
	// SeeMounts reports whether this value of the visible-devices variable requests nothing itself and only points to
	// the mounts that request devices.
	SeeMounts(unsafeValue string) bool
	// Parts returns the parts of the vendor's contract that are requested separately from devices.
	Parts() []Part
	// Features returns the features that the container's environment requests in addition to devices.
	Features(c *state.Container) []Feature
	// IsID reports whether the id names a device of the vendor for which CDI has no name.
	IsID(unsafeID string) bool
	// Selected returns those of a request's capabilities, in their order, that select a part of the vendor's driver.
	Selected(capabilities []string) []string
	// Other returns the vendor's own hook that config.json runs in addition to gpu-hook, or nil.
	Other(c *state.Container) *Other
}

// Part is something that is requested separately from devices, with a precedence of its own.
type Part struct {
	Name     string // name within gpu-hook
	Kind     string // CDI kind
	Variable string // variable by which a container requests it
	// Parse reads a list of ids of the part. If it returns none, nothing is requested.
	Parse func(unsafeIDs []string) ([]string, error)
	Noun  string // what one is called in messages
	Hint  string // what to write instead of an invalid list
}

// Feature is something other than a device that an image requests by a variable with a fixed value.
type Feature struct{ Variable, Value, Kind string }

// Other is the vendor's own hook in config.json. It runs for the container by its own rules, whatever gpu-hook decides.
type Other struct {
	Path, Stage string
	Serves      Visible  // what it will serve; nothing if Visible.Nothing is set
	Variable    string   // variable by which it decides; "" if it decides by mounts
	Value       string   // value of the variable, or what the mounts name
	Selected    []string // driver capabilities that the image requests from it
	Off         string   // variable and value, as NAME=VALUE, with which it serves nothing
}

// Container is the container as a contract sees it.
type Container struct {
	*state.Container
	Root      string // absolute path of its root filesystem; "" if it has none
	EnvCounts bool   // whether its environment is one of the sources that count for it
}

// Demand is the part of a request for devices that a contract checks.
type Demand struct {
	What         string   // names the request in messages
	Capabilities []string // Docker's capabilities, by which it selects the vendor or a part of the driver
}

// Preconditions checks what must hold before any driver of the vendor is tried.
type Preconditions interface {
	// Admit returns why the demands must not be served, or on what terms they are admitted.
	Admit(c Container, demands []Demand) (Admission, error)
	// BeyondCDI returns why CDI cannot serve a container that requests something for which CDI has no name, or nil.
	BeyondCDI(c Container) error
}

// Admission is the result for demands that are admitted.
type Admission struct {
	// Capabilities are the driver capabilities that each demand gets; nil if the vendor's driver has none to choose from.
	Capabilities [][]string
	Warnings     []*fault.Error
}

// Specs is what gpu-hook must know to check the vendor's CDI Specs.
type Specs interface {
	// Drivers returns the driver version for which a Spec with these host files and hook arguments was written, and the
	// version that the host runs. Both are "" if one of them is not known, or if they are the same.
	Drivers(files, arguments []string) (written, loaded string)
	// HasDriver reports whether the vendor's kernel driver is loaded, and whether that is known.
	HasDriver() (loaded, known bool)
	// Generate returns how to make a Spec of the kind, of which there is none, in a directory, as a hint.
	Generate(kind, dir string) string
	// Regenerate returns how to generate the Specs of the kind in these files again, as a hint.
	Regenerate(kind string, files ...string) string
	// MendNode returns why the host does not have a device node as a Spec wants it, "" if nothing more is known, and
	// what to do about it, as a hint.
	MendNode(n Node) (why, hint string)
	// MendFiles returns why files of the host that a Spec of the kind needs are missing, "" if nothing more is known, and
	// what to do about it, as a hint.
	MendFiles(missing []string, kind, file string) (why, hint string)
	// MendProgram returns what to do about a hook of a Spec of the kind in this file whose program is missing.
	MendProgram(program, kind, file string) string
	// IsDevice reports whether the path is that of the device node of a whole device.
	IsDevice(node string) bool
	// NodeOf returns the device node of the whole device with this id, or "" if the id does not tell.
	NodeOf(id string) string
	// HostNodes returns the device nodes of all whole devices of the host.
	HostNodes() []string
	// Lacking returns what a container of the vendor's needs, and this host has, but its Specs do not give. Where
	// nothing is lacking it looks at the host as little as possible, because it is called at every start that CDI
	// serves.
	Lacking(g Given) []Lack
}

// Given is what a container gets of the vendor's by CDI, and what it has already.
type Given struct {
	Kind  string
	Specs []string    // paths of the Specs of the kind that serve it
	Names []string    // CDI names of its devices
	All   bool        // whether all devices of the vendor were requested
	Nodes []GivenNode // all device nodes that the container has in the end
	// Capabilities of the vendor's driver that were requested; none if that is not known.
	Capabilities []string
}

// GivenNode is a device node of a container.
type GivenNode struct{ Path, HostPath string }

// Has reports whether the container has a device node at the path.
func (g Given) Has(path string) bool {
	return slices.ContainsFunc(g.Nodes, func(n GivenNode) bool { return n.Path == path })
}

// Lack is something that Specs should give and do not.
type Lack struct {
	Node   string // path of the device node that is lacking, or of the first
	What   string // what is lacking, and what does not work without it
	Before string // command to run before the Specs are generated again, or ""
	First  string // what else to do, as words: only if that does not help, the Specs are to be generated again; or ""
}

// OfSpecs reports whether the Specs lack it, and not the host.
func (l Lack) OfSpecs() bool { return l.First == "" }

// Node is a device node that a Spec wants, and that the host does not have like that.
type Node struct {
	Path  string // of the host
	Found string // what is in its place, such as "a directory"; "" if nothing is
	// Number is the number MAJOR:MINOR that it has there, if that is another one than in the Spec.
	Number string
	Kind   string // CDI kind of the Spec
	Spec   string // path of the Spec
}

// Generator is the vendor's program that writes CDI Specs of a kind.
type Generator struct {
	Kind    string // CDI kind; it would put its own devices in the place of another kind's Spec
	Command string // how it is called; FILE stands for the path of the Spec, DIR for its directory
	Origin  string // what it comes with, as in "the package amd-container-toolkit"
	File    string // name of the file that it usually writes
}

// Delegate is the vendor's own hook, as gpu-hook runs it.
type Delegate interface {
	// Found returns why the hook, or a program that it runs, is missing or cannot be used, or nil.
	Found() error
	// Trial returns the program that does the hook's work, and arguments with which it says whether it works and changes
	// nothing; "" if none is known. Only commands that a person calls may run it.
	Trial() (program string, args []string)
	// CheckID returns why the hook cannot serve the id of the part ("" for devices), or nil.
	CheckID(part, id string) error
	// Run plans one run of the hook that serves the whole order, or returns why it cannot: before all else, what Found
	// returns.
	Run(o Order) (*Delegation, error)
	// Given reports whether the spec already has what the hook would inject for these ids.
	Given(spec *specs.Spec, ids []string) bool
}

// Order is everything that a vendor's own hook must serve in its one run: it cannot be run twice for a container.
type Order struct {
	Container Container
	IDs       []string            // as the vendor writes them; none for only the driver's files
	Parts     map[string][]string // ids of each part, by its name
	Demands   []Demand
	FromEnv   bool // whether the request comes from the container's environment
}

// Delegation is a run of a vendor's own hook.
type Delegation struct {
	Path string
	Args []string // with argv[0]; paths are relative to the private bundle
	// Env are the variables that express the request. The hook reads them in the private config.json; they are not the
	// environment of the hook's own process.
	Env []string
	// Program are those of Env that programs in the container read too.
	Program []string
	// Files are the contents of the files in the private bundle, by name.
	Files map[string][]byte
	// Warnings tell what of a working container the run does not give, because it was not requested.
	Warnings []*fault.Error
}

// Reserved reports whether an id is a word that stands for a whole list and never for a device.
func Reserved(id string) bool { return id == "none" || id == "void" }
