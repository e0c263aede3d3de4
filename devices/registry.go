package devices

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Registry is what the CDI Specs of this host define. A Spec that cannot be read or trusted defines nothing and hides
// no other Spec. [Registry.Problems] returns the reason.
type Registry struct {
	dirs     []dir
	devices  map[string]*device
	problems []*fault.Error
}

type dir struct {
	path  string
	files int
	err   error
}

type device struct {
	spec  *spec
	raw   *cdispecs.Device
	rival string // the path of another Spec of the same priority that defines the same name
}

// Load reads every .json and .yaml file in the directories, but not in their subdirectories, as CDI requires. A later
// directory overrides an earlier one. A name that two Specs of one directory define is a conflict.
func Load(dirs []string, owner trust.Owner) *Registry {
	r := &Registry{devices: map[string]*device{}}
	for priority, path := range dirs {
		d := dir{path: path}
		entries, err := os.ReadDir(path)
		d.err = err
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.problems = append(r.problems, fault.New(fault.NoSpec, "CDI Spec directory", "%w", err).
				WithHint("make %s a readable directory", path))
		}
		for _, entry := range entries {
			if ext := filepath.Ext(entry.Name()); entry.IsDir() || (ext != ".json" && ext != ".yaml") {
				continue
			}
			d.files++
			s, err := readSpec(filepath.Join(path, entry.Name()), priority, owner)
			if err != nil {
				r.problems = append(r.problems, fault.From(err))
				continue
			}
			r.add(s)
		}
		r.dirs = append(r.dirs, d)
	}
	return r
}

func (r *Registry) add(s *spec) {
	for i := range s.raw.Devices {
		raw := &s.raw.Devices[i]
		name := Name{s.vendor, s.class, raw.Name}.String()
		d := &device{spec: s, raw: raw}
		if old, ok := r.devices[name]; ok && old.spec.priority == s.priority {
			d.rival = old.spec.path
		}
		r.devices[name] = d
	}
}

// Problems returns why Specs of this host were left out.
func (r *Registry) Problems() []*fault.Error { return r.problems }

// Notes returns what was not understood of the Specs that define something.
func (r *Registry) Notes() []*fault.Error {
	var out []*fault.Error
	seen := map[*spec]bool{}
	for _, name := range r.names() {
		s := r.devices[name].spec
		if note := s.note(); note != nil && !seen[s] {
			out = append(out, note)
		}
		seen[s] = true
	}
	return out
}

// Resolved are the edits of the requested devices, and each Spec's share of them.
type Resolved struct {
	*Edits
	Shares []*Share
}

// Share is what one Spec contributes to a request.
type Share struct {
	Spec  string // path of the Spec file
	Edits *Edits
}

// common returns the Spec's share. If it is new, it begins with the Spec's own edits.
func (r *Resolved) common(s *spec) *Share {
	if i := slices.IndexFunc(r.Shares, func(o *Share) bool { return o.Spec == s.path }); i >= 0 {
		return r.Shares[i]
	}
	share := &Share{s.path, NewEdits()}
	r.Shares = append(r.Shares, share)
	r.add(share, s.edits())
	return share
}

// add adds edits to a share and to the whole.
func (r *Resolved) add(share *Share, e *Edits) {
	share.Edits.Append(e)
	r.Append(e)
}

// Resolve returns the edits of the named devices, in the order of names. A Spec's own edits come once, before those of
// its first device. A name that is not defined is an error that says which names, directories and rejected files there
// are. Resolve looks at nothing on the host but the Specs.
func (r *Registry) Resolve(names []string) (*Resolved, error) {
	out := &Resolved{Edits: NewEdits()}
	for _, name := range names {
		d, ok := r.devices[name]
		if !ok {
			return nil, r.unresolved(name)
		}
		if d.rival != "" {
			return nil, fault.New(fault.Name, name, "two CDI Specs of one directory define it: %s and %s", d.rival, d.spec.path).
				WithHint("remove one of the two")
		}
		share := out.common(d.spec)
		edits := fromSpec(&d.raw.ContainerEdits)
		for _, node := range edits.DeviceNodes {
			node.Own = true
		}
		out.add(share, edits)
	}
	return out, nil
}

// unresolved returns the error for a name that no Spec defines.
func (r *Registry) unresolved(name string) error {
	kind := kindOf(name)
	var known []string
	for _, n := range r.names() {
		if kindOf(n) == kind {
			known = append(known, n[len(kind)+1:])
		}
	}
	if len(known) == 0 {
		return r.undefined(name, kind)
	}
	return fault.New(fault.Name, name, "CDI Specs define kind %s, but no device of that name; they define: %s",
		kind, list(known)).
		WithHint("ask for one of these names, or generate the Spec anew if the host's devices have changed")
}

// looked returns which directories were read, as "/etc/cdi: 2 files, /var/run/cdi: missing".
func (r *Registry) looked() string {
	var out []string
	for _, d := range r.dirs {
		switch {
		case errors.Is(d.err, fs.ErrNotExist):
			out = append(out, d.path+": missing")
		case d.err != nil:
			out = append(out, d.path+": unreadable")
		default:
			out = append(out, fmt.Sprintf("%s: %d files", d.path, d.files))
		}
	}
	if len(out) == 0 {
		return "no directory"
	}
	return strings.Join(out, ", ")
}

// list joins the names. Of many it has the first dozen and the number of the others.
func list(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
