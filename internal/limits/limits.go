// Package limits is the table of what gpu-hook reads at most. Each start takes time and memory in proportion to these
// numbers, whoever wrote its input. docs/security.md shows the table; it is made from the comments here.
package limits

// Bounds of what a container runtime hands over.
const (
	// State is the size of the state on standard input. It repeats the annotations of config.json, and so may
	// be as large.
	State = 16 << 20
	// Config is the size of a config.json that is decoded. A larger one is only searched for what may be a
	// request.
	Config = 16 << 20
	// Searched is the size of a config.json that is searched for what may be a request. Runtimes decode the
	// whole file, which takes them minutes for one that is larger.
	Searched = 256 << 20
	// SmallFile is the size of other files of /proc, of runtimes, of engines and of vendors.
	SmallFile = 1 << 20
)

// Bounds of what a container requests.
const (
	// Value is the length of one value that requests devices, and of one requirement of an image. The kernel
	// takes no variable that is longer than 128 KiB.
	Value = 64 << 10
	// Devices is the number of devices that one source requests. No host has as many.
	Devices = 4096
	// Annotations is the number of a container's annotations of one kind that are read or reported.
	Annotations = 64
	// Requests is the number of requests of one source: one for each vendor in each annotation.
	Requests = 128
	// Requirements is the number of an image's variables NVIDIA_REQUIRE_*. NVIDIA's images have one.
	Requirements = 64
)

// Bounds of the CDI Specs of a host.
const (
	// SpecFiles is the number of Specs in one directory. Drivers for Kubernetes make one for each claim of a pod.
	SpecFiles = 4096
	// SpecSize is the size of one Spec. That of a host with 16 GPUs in 7 parts each has some 600 KiB.
	SpecSize = 4 << 20
	// SpecTotal is the size of all Specs of a host that are read for one container, together.
	SpecTotal = 16 << 20
	// SpecNodes is the number of values in one Spec, with its aliases expanded. That of a host with 16 GPUs in 7 parts
	// each has some 20,000.
	SpecNodes = 100_000
	// SpecMarks is the number of line ends, commas, brackets and colons in a Spec that only the library for all of YAML
	// can read. It keeps each of them in memory before anything can be counted.
	SpecMarks = 250_000
	// SpecDepth is how deep the values of a Spec are nested. Those of CDI are 8 deep.
	SpecDepth = 64
	// SpecKeys is the number of keys in one mapping of a Spec. Those of CDI have a dozen.
	SpecKeys = 256
)

// Bounds of the administrator's configuration.
const (
	// Configuration is the size of config.toml.
	Configuration = 64 << 10
	// Entries is the number of vendors, of engines, of annotation prefixes and of preferred variables in config.toml:
	// each is looked for in every container.
	Entries = 64
)

// Bounds of what one start says.
const (
	// Messages is the number of warnings, and that of errors, which one start writes to standard error, the system log
	// and its record. One more says how many are left out.
	Messages = 32
	// Message is the length of one message.
	Message = 4096
	// LogMessage is the length of one line of the system log. Its daemons cut lines there.
	LogMessage = 2048
	// Record is the size of one record. Of a longer one only a short form is kept.
	Record = 256 << 10
)
