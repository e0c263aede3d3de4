package inject

import (
	"errors"
	"path"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// spareRoot is for a container whose root filesystem becomes an image. It leaves out what would write there: the Spec's
// hooks are Skipped, with one note for all of them. A delegate cannot be left out and is an error.
func (t *Target) spareRoot(edits *devices.Edits, delegates []Delegate, result *Result) error {
	if !t.NothingInRoot {
		return nil
	}
	if len(delegates) > 0 {
		return fault.New(fault.Delegate, "delegate "+delegates[0].Path,
			"what it writes into the root filesystem would stay in the image").
			WithHint("let a CDI Spec serve the request; gpu-hook explain says why none does")
	}
	var names []string
	for _, h := range edits.Hooks {
		if h.Status == devices.Apply && h.Makes() {
			h.Status = devices.Skipped
			names = append(names, path.Base(h.Path))
		}
	}
	if len(names) > 0 {
		result.Skipped = append(result.Skipped, fault.New(fault.Skipped, "hooks of the CDI Spec",
			"they are not run, since what they write into the root filesystem would stay in the image: %s",
			strings.Join(names, ", ")).
			WithHint("what needs them works in a container alone, not in a build; "+
				"name libraries there by their full paths (LD_LIBRARY_PATH)"))
	}
	return nil
}

// without returns the note with which the mount is left out because of err, or nil if it is required.
func (t *Target) without(m *devices.Mount, err error) *fault.Error {
	if errors.Is(err, errRootSpared) {
		return fault.New(fault.Skipped, "mount on "+m.ContainerPath, "it is left out: %w", errRootSpared).
			WithHint("have the image carry an empty file or directory of that name, or do without in builds")
	}
	return t.Optional.Note(m, err)
}
