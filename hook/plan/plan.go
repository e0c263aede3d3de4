// Package plan is what one container gets and why, as it was decided, and what became of it: two values. Package hook
// makes a [Plan], which reads and changes nothing any more, and carrying it out returns an [Outcome]. Package report
// makes the report of both.
package plan

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Plan is what was decided for one container. It is not changed once it is made: who carries it out works on copies of
// its edits.
type Plan struct {
	Requests   []Request
	Attempts   []Attempt
	Grants     []Grant
	CDIDevices []string // of all grants, each device by one name
	Asked      Part     // what must be carried out
	Wishes     []Part   // what may come to nothing, each by itself
	Warnings   []*fault.Error
	Errors     []*fault.Error // why the container must not start
}

// Request is what one source asks of one vendor.
type Request struct {
	Source       string   `json:"source"`
	Value        string   `json:"value"`
	Vendor       string   `json:"vendor"`
	Driver       string   `json:"driver"`
	Devices      []string `json:"devices"`
	Capabilities []string `json:"capabilities"`
	Status       string   `json:"status"`
	Reason       string   `json:"reason"`
}

// String names the request in a message, as its user wrote it: NVIDIA_VISIBLE_DEVICES=0, gpu-hook/gpus=all, --gpus all.
func (r Request) String() string { return r.lead() + fault.Value(r.Value) }

// Short is String with at most this number of characters of the value. Of a longer one it has the beginning and the
// end.
func (r Request) Short(characters int) string {
	value := []rune(r.Value)
	if len(value) <= characters {
		return r.String()
	}
	head := characters * 2 / 3 // what is asked for first tells more than what is last
	r.Value = string(value[:head]) + "…" + string(value[len(value)-(characters-head-1):])
	return r.String()
}

// By names the source of the request in a message.
func (r Request) By() string {
	switch kind, key, _ := strings.Cut(r.Source, ":"); kind {
	case "env", "annotation":
		return fault.Value(key)
	case "flag":
		return "--gpus"
	}
	return "a " + r.Source
}

// lead is what stands before the value.
func (r Request) lead() string {
	switch kind, key, _ := strings.Cut(r.Source, ":"); kind {
	case "env", "annotation":
		return fault.Value(key) + "="
	case "flag":
		return "--gpus "
	}
	return r.Source + " "
}

// What has become of a request.
const (
	Granted    = "granted"
	Overridden = "overridden"
	Refused    = "refused"
	Empty      = "empty"    // an explicit nothing
	Unserved   = "unserved" // no driver could serve it
	Present    = "present"  // the engine serves it itself
)

// Attempt is one driver tried for one request; Request is its index.
type Attempt struct {
	Request int    `json:"request"`
	Vendor  string `json:"vendor"`
	Driver  string `json:"driver"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Hint    string `json:"hint"`
}

// Attempts' statuses.
const (
	Chosen  = "chosen"
	Failed  = "failed"
	Skipped = "skipped"
)

// Grant is a request with the driver that serves it.
type Grant struct {
	Request    int       `json:"request"`
	Vendor     string    `json:"vendor"`
	Driver     string    `json:"driver"`
	CDIDevices []string  `json:"cdiDevices"`
	Delegate   *Delegate `json:"delegate"`
}

// Delegate is the vendor's own hook as it is run. Env are the variables that the request came to, which the hook finds
// in the config.json made for it.
type Delegate struct {
	Path   string   `json:"path"`
	Args   []string `json:"args"`
	Env    []string `json:"env"`
	Output string   `json:"output"` // the end of what it wrote, on one line; "" in a plan

	// Program are those of Env that programs in the container look at too.
	Program []string `json:"-"`
	// Files of the private bundle that it is run from, by name.
	Files map[string][]byte `json:"-"`
}

// Part is a part of a plan that is carried out, or undone, as one.
type Part struct {
	Requests  []int // their indices
	Edits     *devices.Edits
	Delegates []*Delegate
	// Beside says that the part is for something beside a vendor's devices, such as NVIDIA_GDS.
	Beside bool
	// Forgone says that it was given up while the plan was made. Its edits are Skipped.
	Forgone bool
}

// Failed reports whether the container must not start.
func (p Plan) Failed() bool { return len(p.Errors) > 0 }

// Ready reports whether there is something to carry out.
func (p Plan) Ready() bool { return !p.Failed() && len(p.Grants) > 0 }

// Copy returns the plan with edits of its own, whose statuses can be set without changing p.
func (p Plan) Copy() Plan {
	p.Asked.Edits = p.Asked.Edits.Clone()
	p.Wishes = slices.Clone(p.Wishes)
	for i := range p.Wishes {
		p.Wishes[i].Edits = p.Wishes[i].Edits.Clone()
	}
	return p
}

// Edits returns the edits of all parts as one list: what was asked for, and then each wish. Its elements are those of
// the parts.
func (p Plan) Edits() *devices.Edits {
	var parts []*devices.Edits
	for _, part := range append([]Part{p.Asked}, p.Wishes...) {
		if part.Edits != nil {
			parts = append(parts, part.Edits)
		}
	}
	return devices.Join(parts...)
}

// Names returns the CDI devices of the grants, each name once.
func Names(grants []Grant) []string {
	out := []string{}
	for _, g := range grants {
		for _, name := range g.CDIDevices {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
