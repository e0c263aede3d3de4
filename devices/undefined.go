package devices

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/nearest"
)

// UndefinedError says that no Spec defines a kind. It is the cause of an error without a hint, unless another kind was
// meant: how a Spec is made is the vendor's matter.
type UndefinedError struct {
	Kind string
	text string
}

// Error implements error.
func (e *UndefinedError) Error() string { return e.text }

// SpecError is the cause why a Spec file is left out.
type SpecError struct {
	Path  string
	Kind  string // that the file seems to define; "" if that is not known
	Asked string // the kind that was asked for
	cause error
}

// Error implements error.
func (e *SpecError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *SpecError) Unwrap() error { return e.cause }

// undefined returns the error for a kind that no Spec defines. If a Spec was left out that seems to define it, or of
// which the kind is not known, that is the cause.
func (r *Registry) undefined(what, kind string) error {
	r.need("") // a Spec that cannot be used may be the one that should define it
	if f := r.suspect(kind); f != nil {
		// Without the device's name: of the file it is not known which devices it would have defined.
		return fault.New(f.problem.Code(), "CDI Spec rejected", "%w",
			&SpecError{f.path, f.kindFor(kind), kind, f.problem}).WithHint("%s", f.problem.Hint())
	}
	text := fmt.Sprintf("no CDI Spec defines kind %s (looked in %s)", kind, r.looked())
	kinds := r.definedKinds()
	if len(kinds) > 0 {
		text = fmt.Sprintf("no CDI Spec defines kind %s; they define: %s", kind, list(kinds))
	}
	if path, meant := r.misnamed(kind); path != "" {
		return fault.New(fault.NoSpec, what, "%w", &UndefinedError{kind, path + " is not read: its name ends neither in " +
			".yaml nor in .json"}).
			WithHint("mv %s %s", path, meant)
	}
	err := fault.New(fault.NoSpec, what, "%w", &UndefinedError{kind, text})
	if meant := nearest.Kind(kind, r.names()); meant != "" {
		return err.WithHint("did you mean %s?", strings.Replace(what, kind, meant, 1))
	}
	return err
}

// suspect returns the file that was left out and should define the kind: one that seems to, else one of which nothing
// is known, or nil.
func (r *Registry) suspect(kind string) *file {
	var found *file
	for _, f := range r.files {
		switch {
		case f.problem == nil:
		case f.seems == kind:
			return f
		case f.seems == "" && found == nil:
			found = f
		}
	}
	return found
}

// misnamed returns the path of a file whose name begins like that of a Spec of the kind and has another ending than
// Specs have, and the path that it should have; or "". A copy that a package manager or an editor has put aside counts,
// because there is no other Spec.
func (r *Registry) misnamed(kind string) (file, meant string) {
	for _, file := range r.ignored {
		name := filepath.Base(file)
		if !strings.HasPrefix(name, vendorOf(kind)) {
			continue
		}
		base := strings.TrimSuffix(file, filepath.Ext(file))
		switch ext := strings.ToLower(filepath.Ext(name)); ext {
		case ".yml", ".yaml", ".json", "":
			return file, base + ".yaml"
		case ".bak", ".old", ".orig", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-bak":
			if kept := filepath.Ext(base); kept == ".yaml" || kept == ".json" {
				return file, base
			}
		}
	}
	return "", ""
}

// vendorOf returns the first label of the kind's domain, by which vendors' tools name their Specs.
func vendorOf(kind string) string {
	vendor, _, _ := strings.Cut(kind, ".")
	return vendor
}

// kindFor returns the kind that the file seems to define, by what it says or else by the name that the vendor's tool
// gives to the file of that kind.
func (f *file) kindFor(kind string) string {
	_, class, _ := strings.Cut(kind, "/")
	name := filepath.Base(f.path)
	if f.seems == "" && class == "gpu" && strings.TrimSuffix(name, filepath.Ext(name)) == vendorOf(kind) {
		return kind
	}
	return f.seems
}

// seemingKind returns the kind that a file seems to define that cannot be read as a Spec, or "".
func seemingKind(data string) string {
	match := regexp.MustCompile(`(?m)^[\s{]*["']?kind["']?\s*:\s*["']?([\w.-]+/[\w.-]+)`).FindStringSubmatch(data)
	if match == nil {
		return ""
	}
	return match[1]
}

// definedKinds returns the kinds that Specs define, sorted.
func (r *Registry) definedKinds() []string {
	var out []string
	for _, name := range r.names() {
		out = append(out, kindOf(name))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// misspelt returns the device of the kind that a device which no Spec defines is probably a misspelling of, or "".
// Another number is another device, and no misspelling.
func (r *Registry) misspelt(name string) string {
	kind, device, _ := strings.Cut(name, "=")
	var known []string
	for _, n := range r.namesOf(kind) {
		if other := n[len(kind)+1:]; digits(other) == digits(device) {
			known = append(known, other)
		}
	}
	if meant := nearest.Word(device, known); meant != "" {
		return kind + "=" + meant
	}
	return ""
}

// digits returns the digits of a text.
func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, text)
}
