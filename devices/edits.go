package devices

import (
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Status is what becomes of an edit.
type Status string

// Every edit is planned as Apply, Present, Late or, where it cannot be made and [Optional] lets a container do without,
// Skipped; carrying the plan out turns Apply into Applied, Present, Skipped or Failed.
const (
	// The planned status of an edit is Apply, Present, Late, or, if it cannot be made and is optional (see [Optional]),
	// Skipped. Carrying out the plan turns Apply into Applied, Present, Skipped or Failed.
	Apply   Status = "apply"
	Applied Status = "applied"
	Present Status = "present"
	Late    Status = "late"
	Skipped Status = "skipped"
	Failed  Status = "failed"
)

// Edits are CDI's container edits with their statuses. Their JSON form is documented in docs/json.md and must not
// change.
type Edits struct {
	Env            []*Env        `json:"env"`
	DeviceNodes    []*DeviceNode `json:"deviceNodes"`
	Mounts         []*Mount      `json:"mounts"`
	Hooks          []*Hook       `json:"hooks"`
	NetDevices     []*NetDevice  `json:"netDevices"`
	AdditionalGIDs []*GID        `json:"additionalGids"`
	IntelRdt       []*IntelRdt   `json:"intelRdt"`

	// Notes say what was not understood of the Specs that the edits come from, one note for each Spec.
	Notes []*fault.Error `json:"-"`
}

// editLists returns the lists of all kinds of edits, in the order of the JSON form. A list that is missing here is
// neither made nor read.
func editLists() []editList {
	return []editList{envList(), nodeList(), mountList(), hookList(), netDeviceList(), gidList(), rdtList()}
}

// NewEdits returns edits whose lists are empty, not nil: so the JSON form has [] and not null.
func NewEdits() *Edits { return fromSpec(&cdispecs.ContainerEdits{}) }
