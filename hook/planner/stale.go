package planner

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// hold returns why edits of CDI Specs do not hold on this host. If they do, it completes them, and notes in the offer
// what is left out and which Spec is stale, if policy lets a stale Spec serve all the same.
//
// A Spec is stale if a host file that a container needs of it is missing, or if it was written for another driver than
// the host runs. That comes before any other error, since it explains them. A version that is not known makes no Spec
// stale, and neither does a missing device node: the driver is not loaded then, or a device is gone.
func (p *Planner) hold(v *config.Vendor, resolved *devices.Resolved, o *offer) error {
	skipped, err := resolved.Complete(p.Container.Spec, p.Root, p.Config.Self.Owner, p.Config.CDI.Rule)
	for _, share := range resolved.Shares {
		// What could be completed has all the files that it needs. To look for them costs as much as to complete it.
		f, usable := p.stale(v, share, err != nil)
		switch {
		case f == nil:
		case !usable || p.Config.CDI.OnStale != config.Warn:
			return f
		default:
			o.note(f.WithCode(fault.StaleNote))
		}
	}
	o.note(skipped...)
	return err
}

// stale returns in what the Spec and the host differ, or nil, and whether everything that is needed of it is still
// there, which is looked at only if a file may be missing.
func (p *Planner) stale(v *config.Vendor, share *devices.Share, mayMiss bool) (f *fault.Error, usable bool) {
	written, loaded := p.Config.ContractOf(v).Drivers(share.Files(), share.Arguments())
	var needed int
	var missing, why []string
	if mayMiss {
		needed, missing = share.Missing(p.Config.CDI.Rule)
	}
	if written != loaded {
		why = append(why, fmt.Sprintf("written for driver %s, the host runs %s", written, loaded))
	}
	if len(missing) > 0 {
		text := fmt.Sprintf("%d of its %d host files are missing", len(missing), needed)
		if len(why) == 0 {
			text += ", first: " + missing[0]
		}
		why = append(why, text)
	}
	if len(why) == 0 {
		return nil, true
	}
	hint := p.regenerate(v, share)
	switch {
	case written == loaded:
		var because string
		because, hint = p.Config.ContractOfKind(v, share.Kind).MendFiles(missing, share.Kind, share.Spec)
		if because != "" {
			why = append(why, because)
		}
	case len(missing) == 0 && !installed(share.Files(), written, loaded):
		hint = "systemctl reboot # then: " + hint
	}
	return fault.New(fault.Stale, share.Spec, "%s", strings.Join(why, "; ")).
		WithHint("%s", hint), len(missing) == 0
}

// installed reports whether the driver's files of the version that is loaded are beside those of the version for which
// the Spec was written.
func installed(files []string, written, loaded string) bool {
	return written != loaded && slices.ContainsFunc(files, func(file string) bool {
		own := strings.ReplaceAll(file, written, loaded)
		_, err := os.Stat(own)
		return own != file && err == nil
	})
}

// regenerate says how the Specs are generated again.
func (p *Planner) regenerate(v *config.Vendor, shares ...*devices.Share) string {
	files, kind := make([]string, 0, len(shares)), ""
	for _, s := range shares {
		files, kind = append(files, s.Spec), s.Kind
	}
	return p.Config.ContractOfKind(v, kind).Regenerate(kind, files...)
}
