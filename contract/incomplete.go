package contract

import (
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Incomplete is the warning that the Specs of a vendor lack something, with the command that mends it.
func Incomplete(vendor Specs, g Given, l Lack) *fault.Error {
	hint := vendor.Regenerate(g.Kind, g.Specs...)
	if l.Before != "" {
		hint = l.Before + " && " + hint
	}
	if l.First != "" {
		hint = l.First + ": " + hint
	}
	return fault.New(fault.StaleNote, strings.Join(g.Specs, " and "), "%s", l.What).WithHint("%s", hint)
}
