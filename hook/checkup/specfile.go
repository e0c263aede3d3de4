package checkup

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// checkSpecFiles looks at files in the Spec directories that define nothing, and why.
func checkSpecFiles(h *host) []report.Check {
	out := h.unreadSpecs("")
	for _, note := range h.notes {
		if slices.ContainsFunc(h.devices, func(d device) bool { return d.Spec == note.What() && d.withoutGPU() }) {
			continue // that device's finding has it
		}
		c := h.warn("CDI Specs", note.Error())
		c.Cause, c.Hint = "note "+note.What(), note.Hint()
		out = append(out, c)
	}
	return out
}

// unreadSpecs returns the findings about Spec files that are left out and, by their words, define the kind; "" is every
// kind. They are warnings where another Spec or driver serves the kind.
func (h *host) unreadSpecs(kind string) []report.Check {
	var out []report.Check
	for _, f := range h.Specs {
		if kind != "" && !mayDefine(f, kind) {
			continue
		}
		c, found := h.ending(f)
		if !found {
			c, found = h.rejected(f)
		}
		if !found {
			continue
		}
		if !slices.ContainsFunc(f.Kinds, h.unserved) && (len(f.Kinds) > 0 || len(h.devices) > 0) {
			c.Status = report.CheckWarn
		}
		out = append(out, c)
	}
	return out
}

// mayDefine reports whether the file defines the kind, by its words or, where it has none, by its name.
func mayDefine(f facts.SpecFile, kind string) bool {
	vendor, _, _ := strings.Cut(kind, ".")
	return slices.Contains(f.Kinds, kind) || (len(f.Kinds) == 0 && strings.Contains(path.Base(f.Path), vendor))
}

// unserved reports whether no Spec, and no driver of a vendor, serves the kind.
func (h *host) unserved(kind string) bool {
	for _, d := range h.devices {
		if d.Kind == kind {
			return false
		}
	}
	for _, t := range h.trials {
		if t.vendor.Kind == kind && !t.refused() {
			return false
		}
	}
	return true
}

// ending is the finding that CDI does not read a Spec because of its name.
func (h *host) ending(f facts.SpecFile) (report.Check, bool) {
	if f.Read || len(f.Kinds) == 0 {
		return report.Check{}, false
	}
	if f.Away {
		return h.away(f)
	}
	meant := strings.EqualFold(path.Ext(f.Path), ".yml") || strings.EqualFold(path.Ext(f.Path), ".yaml") ||
		strings.EqualFold(path.Ext(f.Path), ".json")
	if !meant && !slices.ContainsFunc(f.Kinds, h.unserved) {
		return report.Check{}, false // it was put aside
	}
	c := h.fail("CDI Specs", fmt.Sprintf("%s is not read: CDI reads names that end in .yaml or .json", f.Path))
	c.Cause = "unread " + f.Path
	ending := ".yaml"
	base := strings.TrimSuffix(f.Path, path.Ext(f.Path))
	switch {
	case strings.Contains(path.Base(f.Path), ".json"):
		base, ending = f.Path[:strings.Index(f.Path, ".json")], ".json"
	case strings.Contains(path.Base(f.Path), ".yaml"):
		base = f.Path[:strings.Index(f.Path, ".yaml")]
	}
	c.Fix = fmt.Sprintf("mv %s %s%s", f.Path, base, ending)
	if slices.ContainsFunc(h.Specs, func(o facts.SpecFile) bool { return o.Path == base+ending }) {
		// A copy beside the Spec that is read.
		return report.Check{}, false
	}
	return c, true
}

// away is the finding that a Spec is in a directory that is not read. It is not reported if something else serves the
// kind.
func (h *host) away(f facts.SpecFile) (report.Check, bool) {
	if !slices.ContainsFunc(f.Kinds, h.unserved) || (path.Ext(f.Path) != ".yaml" && path.Ext(f.Path) != ".json") {
		return report.Check{}, false
	}
	dirs := h.config.CDI.SpecDirs
	c := h.fail("CDI Specs", fmt.Sprintf("%s is not read: CDI Specs are read from %s, and from no directory below",
		f.Path, strings.Join(dirs, " and ")))
	c.Cause = "unread " + f.Path
	if len(dirs) > 0 {
		c.Fix = fmt.Sprintf("mkdir -p %s && mv %s %s/", dirs[0], f.Path, dirs[0])
		c.Hint = "or list its directory as spec-dirs under [cdi] in " + cmp.Or(h.places.Config, config.DefaultPath)
	}
	return c, true
}

// rejected is the finding that a file is a Spec by its name, and is left out.
func (h *host) rejected(f facts.SpecFile) (report.Check, bool) {
	if h.Paths[f.Path].Type == "link" && f.Written == 0 && f.Read {
		c := h.fail("CDI Specs", f.Path+" is a symbolic link to a file that is not there")
		c.Cause, c.Fix = "rejected "+f.Path, "rm "+f.Path
		if mayDefine(f, nvidiaKind) {
			c.Fix += " && " + h.generate(nvidiaKind, f.Path)
		}
		return c, true
	}
	i := slices.IndexFunc(h.problems, func(p *fault.Error) bool { return f.Read && isAbout(p, f.Path) })
	if i < 0 {
		return report.Check{}, false
	}
	problem := h.problems[i]
	c := h.fail("CDI Specs", "CDI Spec rejected: "+problem.Error())
	c.Cause, c.Hint = "rejected "+f.Path, problem.Hint()
	switch problem.Code() {
	case fault.Trust:
		c.Fix, c.Hint = h.makeTrusted(f.Path), ""
	case fault.Parse:
		c.Fix, c.Hint = h.parsable(f)
		if strings.HasSuffix(problem.Error(), "] is null") {
			c.Details = append(c.Details, "podman's own --device and --gpus, as others with the CDI library, end in a panic")
		}
	case fault.NoSpec:
		c.Fix = h.makeReadable(f.Path)
	default:
	}
	return c, true
}

// isAbout reports whether the problem is that of the file, or of a directory on the way to it.
func isAbout(problem *fault.Error, file string) bool {
	if problem.Code() != fault.Trust {
		return strings.Contains(problem.Error(), file+":")
	}
	for p := file; p != "/" && p != "."; p = path.Dir(p) {
		if strings.HasPrefix(problem.Error(), p+": ") {
			return true
		}
	}
	return false
}

// makeReadable is the command by which a user may read the file.
func (h *host) makeReadable(file string) string {
	var commands []string
	for p := path.Clean(file); p != "/" && p != "."; p = path.Dir(p) {
		st := h.Paths[p]
		switch {
		case st.Type == "directory" && st.Mode&0o005 != 0o005:
			commands = append(commands, "chmod a+rx "+p)
		case st.Type == "file" && st.Mode&0o004 == 0:
			commands = append(commands, "chmod a+r "+p)
		}
	}
	slices.Reverse(commands)
	return strings.Join(commands, " && ")
}

// parsable is how a Spec comes about in the place of one that cannot be read.
func (h *host) parsable(f facts.SpecFile) (command, words string) {
	if len(f.Kinds) == 1 {
		if command = h.generate(f.Kinds[0], f.Path); command != "" {
			return command, ""
		}
	}
	if len(f.Kinds) == 0 && strings.Contains(path.Base(f.Path), "nvidia") {
		return h.generate(nvidiaKind, f.Path), ""
	}
	return "", "correct " + f.Path + ", or write it again with its vendor's tool"
}

// makeTrusted is the command after which only root can change the file. It changes only what is wrong, since mode 644
// on a directory would close it.
func (h *host) makeTrusted(file string) string {
	var own, modes []string
	uid := h.config.Self.Owner.UID
	for p := path.Clean(file); p != "/" && p != "."; p = path.Dir(p) {
		st := h.Paths[p]
		if !st.Exists() {
			continue
		}
		if st.UID != 0 && st.UID != uid {
			own = append(own, p)
		}
		if st.Type != "link" && st.Mode&0o022 != 0 && (st.Type != "directory" || st.Mode&0o1000 == 0) {
			modes = append(modes, p)
		}
	}
	var commands []string
	if len(own) > 0 {
		commands = append(commands, "chown -h root:root "+strings.Join(own, " "))
	}
	if len(modes) > 0 {
		commands = append(commands, "chmod go-w "+strings.Join(modes, " "))
	}
	return strings.Join(commands, " && ")
}
