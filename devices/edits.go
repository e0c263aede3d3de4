package devices

import (
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Status is what becomes of an edit.
type Status string

// Every edit is planned as Apply, Present, Late or, where it cannot be made and [Optional] lets a container do without,
// Skipped; carrying the plan out turns Apply into Applied, Present, Skipped or Failed.
const (
	Apply   Status = "apply"
	Applied Status = "applied"
	Present Status = "present"
	Late    Status = "late"
	Skipped Status = "skipped"
	Failed  Status = "failed"
)

// Edits are CDI's container edits, each with what becomes of it. The JSON form is part of the contract.
type Edits struct {
	Env            []*Env        `json:"env"`
	DeviceNodes    []*DeviceNode `json:"deviceNodes"`
	Mounts         []*Mount      `json:"mounts"`
	Hooks          []*Hook       `json:"hooks"`
	NetDevices     []*NetDevice  `json:"netDevices"`
	AdditionalGIDs []*GID        `json:"additionalGids"`
	IntelRdt       []*IntelRdt   `json:"intelRdt"`

	// Notes say what of the Specs that the edits are from was not understood, once for each Spec.
	Notes []*fault.Error `json:"-"`
}

// NewEdits returns edits whose lists are empty and not nil, as the JSON form wants them.
func NewEdits() *Edits {
	return &Edits{
		Env: []*Env{}, DeviceNodes: []*DeviceNode{}, Mounts: []*Mount{}, Hooks: []*Hook{},
		NetDevices: []*NetDevice{}, AdditionalGIDs: []*GID{}, IntelRdt: []*IntelRdt{},
	}
}
