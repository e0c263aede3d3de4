package devices

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/plainyaml"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Registry is what the CDI Specs of this host define. A Spec that cannot be read or trusted defines nothing and hides
// no other Spec. [Registry.Problems] returns the reason.
type Registry struct {
	owner   trust.Owner
	dirs    []dir
	files   []*file         // in the order of directories and names
	ignored []string        // paths in the directories that are no Specs by their names
	kinds   map[string]bool // that were needed so far, "" for all
	size    int             // of the Specs that were read, in bytes
	devices map[string]*device
	sorted  map[string][]string // what [Registry.namesOf] has returned since the last Spec was added
}

type dir struct {
	path  string
	files int
	err   error
}

// file is a Spec file, or the place of a directory that cannot be read.
type file struct {
	path     string
	priority int
	kind     string // of a Spec that was not decoded because another kind was needed
	spec     *spec
	problem  *fault.Error
	seems    string // the kind of a Spec that cannot be used, as far as it can be seen
}

type device struct {
	spec  *spec
	raw   *cdispecs.Device
	rival string // the path of another Spec of the same priority that defines the same name
	mark  string // see [Registry.mark]
}

// Load reads every .json and .yaml file in the directories, but not in their subdirectories, as CDI requires. A later
// directory overrides an earlier one. A name that two Specs of one directory define is a conflict.
func Load(dirs []string, owner trust.Owner) *Registry {
	r := Open(dirs, owner)
	r.need("")
	return r
}

// Open is like Load, but reads Specs when they are needed. The first question about a kind opens every file. A Spec
// whose kind is another, see [plainyaml.Find], is decoded once somebody asks about that kind, or about all kinds. Until
// then it defines nothing, and what is wrong with it is not among the problems.
func Open(dirs []string, owner trust.Owner) *Registry {
	r := &Registry{owner: owner, devices: map[string]*device{}}
	for priority, path := range dirs {
		d := dir{path: path}
		entries, err := os.ReadDir(path)
		hint := "make " + path + " a readable directory"
		if len(entries) > limits.SpecFiles {
			err = fmt.Errorf("%s has %d files, more than are read (%d)", path, len(entries), limits.SpecFiles)
			entries, hint = nil, "remove from "+path+" the Specs that nobody needs"
		}
		d.err = err
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problem := fault.New(fault.NoSpec, "CDI Spec directory", "%w", err).WithHint("%s", hint)
			r.files = append(r.files, &file{path: path, problem: problem})
		}
		for _, entry := range entries {
			if ext := filepath.Ext(entry.Name()); entry.IsDir() || (ext != ".json" && ext != ".yaml") {
				if !entry.IsDir() {
					r.ignored = append(r.ignored, filepath.Join(path, entry.Name()))
				}
				continue
			}
			d.files++
			r.files = append(r.files, &file{path: filepath.Join(path, entry.Name()), priority: priority})
		}
		r.dirs = append(r.dirs, d)
	}
	return r
}

// need reads the files that may define devices of the kind, or all files where it is "".
func (r *Registry) need(kind string) {
	if r.kinds[kind] || r.kinds[""] {
		return
	}
	if r.kinds == nil {
		r.kinds = map[string]bool{}
	}
	r.kinds[kind] = true
	var found bool
	var buffer bytes.Buffer
	for _, f := range r.files {
		if r.read(f, kind, &buffer) {
			found = true
		}
	}
	if !found {
		return
	}
	// Which definition of a name holds depends on the order of the files, not on that in which they were needed.
	clear(r.devices)
	for _, f := range r.files {
		if f.spec != nil {
			r.add(f.spec)
		}
	}
}

// read reads the file unless it was read, or is known to be of another kind. It reports whether that made it a Spec.
func (r *Registry) read(f *file, kind string, buffer *bytes.Buffer) bool {
	if f.spec != nil || f.problem != nil || (kind != "" && f.kind != "" && f.kind != kind) {
		return false
	}
	if r.size > limits.SpecTotal {
		f.problem = fault.New(fault.Parse, f.path, "the Specs before it are larger than %d MiB together, and it is not read",
			limits.SpecTotal>>20).WithHint("remove Specs of devices that the host does not have")
		return false
	}
	data, err := readSpec(f.path, r.owner, buffer)
	r.size += len(data)
	if err == nil && kind != "" {
		if other, ok := plainyaml.Find(data, "kind"); ok && other != kind {
			f.kind = other
			return false
		}
	}
	if err == nil {
		f.spec, err = newSpec(f.path, f.priority, data)
	}
	if err != nil {
		f.problem, f.seems = fault.From(err), seemingKind(data)
	}
	return f.spec != nil
}

func (r *Registry) add(s *spec) {
	r.sorted = nil
	if len(r.devices) == 0 {
		r.devices = make(map[string]*device, len(s.raw.Devices))
	}
	defined, kind := make([]device, len(s.raw.Devices)), s.raw.Kind
	for i := range s.raw.Devices {
		raw := &s.raw.Devices[i]
		name := kind + "=" + raw.Name
		d := &defined[i]
		d.spec, d.raw = s, raw
		if old, ok := r.devices[name]; ok && old.spec.priority == s.priority {
			d.rival = old.spec.path
		}
		r.devices[name] = d
	}
}

// device returns the device of a qualified name, or nil.
func (r *Registry) device(name string) *device {
	r.need(kindOf(name))
	return r.devices[name]
}

// Problems returns why Specs of this host were left out, as far as they were read.
func (r *Registry) Problems() []*fault.Error {
	var out []*fault.Error
	for _, f := range r.files {
		if f.problem != nil {
			out = append(out, f.problem)
		}
	}
	return out
}

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

	shares map[*spec]*Share
	whole  []*Edits // what is to be merged into Edits
	of     map[*Share][]*Edits
}

func newResolved() *Resolved {
	return &Resolved{Edits: NewEdits(), shares: map[*spec]*Share{}, of: map[*Share][]*Edits{}}
}

// Share is what one Spec contributes to a request.
type Share struct {
	Spec  string // path of the Spec file
	Kind  string // that the Spec defines
	Edits *Edits
}

// common returns the Spec's share. If it is new, it begins with the Spec's own edits.
func (r *Resolved) common(s *spec) *Share {
	if share := r.shares[s]; share != nil {
		return share
	}
	share := &Share{s.path, s.raw.Kind, NewEdits()}
	r.Shares, r.shares[s] = append(r.Shares, share), share
	r.add(share, s.edits())
	return share
}

// add adds edits to a share and to the whole, once [Resolved.merge] is called.
func (r *Resolved) add(share *Share, e *Edits) {
	r.of[share], r.whole = append(r.of[share], e), append(r.whole, e)
}

// merge merges what was added: all at once, because each merging goes through all edits.
func (r *Resolved) merge() {
	for _, share := range r.Shares {
		share.Edits.Append(r.of[share]...)
	}
	if len(r.Shares) == 1 {
		r.Edits = Join(r.Shares[0].Edits) // which are the whole already
	} else {
		r.Append(r.whole...)
	}
	r.of, r.whole = nil, nil
}

// Resolve returns the edits of the named devices, in the order of names. A Spec's own edits come once, before those of
// its first device. A name that is not defined is an error that says which names, directories and rejected files there
// are. Resolve looks at nothing on the host but the Specs.
func (r *Registry) Resolve(names []string) (*Resolved, error) {
	out := newResolved()
	for _, name := range names {
		d := r.device(name)
		if d == nil {
			return nil, r.unresolved(name)
		}
		if d.rival != "" {
			return nil, fault.New(fault.Name, name, "both %s and %s define it", d.rival, filepath.Base(d.spec.path)).
				WithHint("%s", aside(d.rival, d.spec.path))
		}
		share := out.common(d.spec)
		edits := fromSpec(&d.raw.ContainerEdits)
		for _, node := range edits.DeviceNodes {
			node.Own = true
		}
		out.add(share, edits)
	}
	out.merge()
	return out, nil
}

// UnnamedError says that no Spec of a kind names a device.
type UnnamedError struct {
	Specs []string // that define devices of the kind
	text  string
}

// Error implements error.
func (e *UnnamedError) Error() string { return e.text }

// specsOf returns the paths of the Specs that define devices of the kind, each once.
func (r *Registry) specsOf(kind string) []string {
	var out []string
	for name, d := range r.devices {
		if kindOf(name) == kind && !slices.Contains(out, d.spec.path) {
			out = append(out, d.spec.path)
		}
	}
	slices.Sort(out)
	return out
}

// aside returns the command that puts the older of two Specs out of the way: the other one is what is generated now.
func aside(one, other string) string {
	a, errA := linux.Lstat(one)
	b, errB := linux.Lstat(other)
	if errA == nil && errB == nil && a.Mtim.Nano() >= b.Mtim.Nano() {
		one = other
	}
	return fmt.Sprintf("mv %s %s.off # or the other one, if this is the one that is generated", one, one)
}

// unresolved returns the error for a name that no Spec defines.
func (r *Registry) unresolved(name string) error {
	kind := kindOf(name)
	var known []string
	for _, n := range r.ownNames(name) {
		known = append(known, n[len(kind)+1:])
	}
	if len(known) == 0 {
		return r.undefined(name, kind)
	}
	err := fault.New(fault.Name, name, "%w", &UnnamedError{r.specsOf(kind), fmt.Sprintf(
		"no device of that name; %s has: %s", kind, list(known))}).
		WithHint("ask for one of these names, or generate the Spec again if the host's devices have changed")
	if meant := r.misspelt(name); meant != "" {
		return err.WithHint("did you mean %s?", meant)
	}
	return err
}

// ownNames returns the names of the kind of name. To a short one, such as an index, a second name of a device that is
// longer, such as a UUID, is no help, and is left out.
func (r *Registry) ownNames(name string) []string {
	const short = 8
	kind := kindOf(name)
	names := r.namesOf(kind)
	if len(name) > len(kind)+1+short {
		return names
	}
	var out []string
	_, again := r.Distinct(names)
	for _, n := range names {
		if again[n] == "" || len(n) <= len(kind)+1+short {
			out = append(out, n)
		}
	}
	return out
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
