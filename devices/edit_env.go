package devices

import (
	"slices"
	"strings"

	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

// Env is a variable for the container's process.
type Env struct {
	Value  string `json:"value"`
	Status Status `json:"status"`
}

func envList() editList {
	return listOf[Env, *Env]{
		func(e *Edits) *[]*Env { return &e.Env },
		func(c *cdispecs.ContainerEdits) []*Env { return convert(c.Env, envOf) },
		replace[*Env],
	}
}

func envOf(value string) *Env { return &Env{value, Late} }

// Label implements [Edit].
func (v *Env) Label() string { return "variable " + v.Value }

// Row implements [Edit].
func (v *Env) Row() (label, detail string) { return "env " + v.Value, "" }

// State implements [Edit].
func (v *Env) State() *Status { return &v.Status }

// Makes implements [Edit].
func (*Env) Makes() bool { return false }

// Undone implements [Edit].
func (*Env) Undone() bool { return false }

func (*Env) names() (kind string, names []string) { return "", nil }

// key returns the variable's name.
func (v *Env) key() string {
	name, _, _ := strings.Cut(v.Value, "=")
	return name
}

// complete sets Present if config.json has the variable: then an engine that supports CDI has set it.
func (v *Env) complete(h *host) error { //nolint:unparam // the signature is that of [Edit]
	if p := h.container.Process; p != nil && v.among(p.Env) {
		v.Status = Present
	}
	return nil
}

// among reports whether v is the last entry of its name in the environment, which is the one that runtimes use.
func (v *Env) among(environment []string) bool {
	name, _, _ := strings.Cut(v.Value, "=")
	for _, entry := range slices.Backward(environment) {
		if strings.HasPrefix(entry, name+"=") {
			return entry == v.Value
		}
	}
	return false
}
