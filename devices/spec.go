package devices

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// spec is a CDI Spec file that was read.
type spec struct {
	path     string
	priority int // of its directory: the highest wins
	vendor   string
	class    string
	raw      *cdispecs.Spec
	notes    []string // what was not understood
}

// readSpec returns what a Spec file contains. It refuses a file that others than the owner can change, because a Spec
// names programs that run as the owner, who is root or the user of a rootless engine.
//
// The buffer is that of all Specs that are read in turn.
func readSpec(path string, owner trust.Owner, buffer *bytes.Buffer) (string, error) {
	file, err := owner.OpenFile(path)
	if errors.Is(err, trust.ErrUntrusted) {
		return "", fault.New(fault.Trust, "", "%w", err).WithHint("%s", untrusted(path, owner))
	}
	if err != nil {
		return "", fault.New(fault.NoSpec, "", "%w", err).WithHint("make %s readable, or remove it", path)
	}
	defer file.Close()
	buffer.Reset()
	if info, err := file.Stat(); err == nil {
		buffer.Grow(int(min(info.Size(), limits.SpecSize)) + bytes.MinRead)
	}
	_, err = buffer.ReadFrom(io.LimitReader(linux.NoWait(file), limits.SpecSize+1))
	if err == nil && buffer.Len() > limits.SpecSize {
		err = fmt.Errorf("it is larger than %d MiB", limits.SpecSize>>20)
	}
	if err != nil {
		return "", unusable(path, err)
	}
	return buffer.String(), nil
}

// untrusted returns what to do about a Spec file that others than the owner can change. What it says may be theirs, so
// that nobody is told to make it root's.
func untrusted(path string, owner trust.Owner) string {
	if dir := filepath.Dir(path); owner.Dir(dir) != nil {
		return "find out what others have put into " + dir + "; then: chown root: " + dir + " && chmod go-w " + dir
	}
	return "see who wrote it and what it says, remove it, and generate it again"
}

// newSpec returns the Spec that a file contains. A file that is not a CDI Spec, or whose edits break CDI's rules, is an
// error. A file of which some parts are not understood is still a Spec, and the notes of the result list these parts;
// see [version] and [decodeSpec].
func newSpec(path string, priority int, data string) (*spec, error) {
	s, err := parseSpec(data)
	if err != nil {
		return nil, unusable(path, err)
	}
	s.path, s.priority = path, priority
	return s, nil
}

func unusable(path string, err error) error {
	return fault.New(fault.Parse, path, "%w", err).
		WithHint("generate %s again with the tool that wrote it, or remove it", path)
}

func parseSpec(data string) (*spec, error) {
	raw, notes, err := decodeSpec(data)
	if err != nil {
		return nil, err
	}
	known, note := version(raw)
	if note != "" {
		notes = append([]string{note}, notes...)
	}
	s := &spec{raw: raw, notes: notes}
	s.vendor, s.class = parser.ParseQualifier(raw.Kind)
	err = s.validate(known)
	if err != nil && len(s.notes) > 0 {
		err = fmt.Errorf("%w (not understood: %s)", err, list(s.notes))
	}
	return s, err
}

// version reports whether the Spec's cdiVersion is known here. The note says what is wrong with it, or is "".
//
// The CDI library refuses a Spec whose version is missing, malformed, newer than the library or older than a field that
// the Spec uses, so that its devices are "unresolvable". But versions have only ever added fields, and what is known
// means the same in every version. So such a Spec is read as one of the newest known version, with a note.
func version(raw *cdispecs.Spec) (known bool, note string) {
	err := cdispecs.ValidateVersion(raw)
	if err == nil {
		return true, ""
	}
	if cdispecs.ValidateVersion(&cdispecs.Spec{Version: raw.Version}) == nil {
		return true, fmt.Sprintf("cdiVersion %q is older than what the file uses (%v)", raw.Version, err)
	}
	return false, fmt.Sprintf("cdiVersion %q is not known to this gpu-hook (up to %s)",
		raw.Version, cdispecs.CurrentVersion)
}

// note returns a warning that says what was not understood of the Spec, or nil.
func (s *spec) note() *fault.Error {
	if len(s.notes) == 0 {
		return nil
	}
	return fault.New(fault.SpecNote, s.path, "it was read, but not all of it was understood: %s", list(s.notes)).
		WithHint("if the container lacks something, use a gpu-hook that knows this version of CDI, or correct the file")
}

// edits returns the edits that every container with a device of the Spec gets.
func (s *spec) edits() *Edits {
	e := fromSpec(&s.raw.ContainerEdits)
	if note := s.note(); note != nil {
		e.Notes = []*fault.Error{note}
	}
	return e
}

// validate applies the CDI library's checks. In a Spec of an unknown version, a hook may have a stage that is not
// known. Such a hook is Late.
func (s *spec) validate(known bool) error {
	if err := parser.ValidateVendorName(s.vendor); err != nil {
		return fmt.Errorf("kind %q: %w", s.raw.Kind, err)
	}
	if err := parser.ValidateClassName(s.class); err != nil {
		return fmt.Errorf("kind %q: %w", s.raw.Kind, err)
	}
	if err := s.validateEdits(s.raw.ContainerEdits, known); err != nil {
		return err
	}
	if len(s.raw.Devices) == 0 {
		return errors.New("it defines no devices")
	}
	seen := make(map[string]bool, len(s.raw.Devices))
	for _, d := range s.raw.Devices {
		if err := parser.ValidateDeviceName(d.Name); err != nil {
			return fmt.Errorf("device %q: %w", d.Name, err)
		}
		if seen[d.Name] {
			return fmt.Errorf("device %q is defined twice", d.Name)
		}
		seen[d.Name] = true
		if err := s.validateEdits(d.ContainerEdits, known); err != nil {
			return fmt.Errorf("device %q: %w", d.Name, err)
		}
	}
	return nil
}

func (s *spec) validateEdits(e cdispecs.ContainerEdits, known bool) error {
	if pathsAlone(e) {
		return nil
	}
	if !known {
		e.Hooks = slices.DeleteFunc(slices.Clone(e.Hooks), s.newStage)
	}
	return (&cdi.ContainerEdits{ContainerEdits: &e}).Validate()
}

// pathsAlone reports whether the edits are nothing but nodes by their paths, which are valid. Those of most devices
// are, and the library's check of 3,000 nodes takes a tenth of the time in which the Spec is read.
func pathsAlone(e cdispecs.ContainerEdits) bool {
	for _, d := range e.DeviceNodes {
		if d.Path == "" || d.Type != "" || d.Permissions != "" {
			return false
		}
	}
	return e.Env == nil && e.Hooks == nil && e.Mounts == nil && e.IntelRdt == nil && e.NetDevices == nil
}

// newStage reports whether the hook has a stage that is not known, and notes it.
func (s *spec) newStage(h *cdispecs.Hook) bool {
	switch h.HookName {
	case cdi.PrestartHook, cdi.CreateRuntimeHook, cdi.CreateContainerHook, cdi.StartContainerHook, cdi.PoststartHook,
		cdi.PoststopHook:
		return false
	}
	s.notes = append(s.notes, fmt.Sprintf("stage %q of hook %s", h.HookName, strings.TrimSpace(h.Path)))
	return true
}
