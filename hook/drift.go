package hook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// hold says why edits of CDI Specs do not hold on this host, or completes them and notes in the offer what is left out
// and which Spec is stale, where policy lets it serve all the same. A Spec is stale if a host file that a container
// needs of it is missing, or if it serves NVIDIA's devices and was written for another driver than the host runs; that
// is said before anything else, since it explains the rest. A version that is not known is not held against anything. A
// node that is missing does not make a Spec stale: the driver is not loaded, or a device is gone.
func (p *planner) hold(v *config.Vendor, resolved *devices.Resolved, o *offer) error {
	for _, share := range resolved.Shares {
		f, usable := p.stale(v, share)
		switch {
		case f == nil:
		case !usable || p.config.CDI.OnStale != config.Warn:
			return f
		default:
			o.note(f.WithCode(fault.StaleNote))
		}
	}
	skipped, err := resolved.Complete(p.container.Spec, p.root, p.owner, p.config.CDI.Rule)
	if fault.Is(err, fault.Major) {
		err = fault.From(err).WithHint("%s", regenerate(v, resolved.Shares...))
	}
	o.note(skipped...)
	return err
}

// note adds what is not noted yet: requests of one Spec share its edits.
func (o *offer) note(notes ...*fault.Error) {
	for _, n := range notes {
		if !slices.ContainsFunc(o.notes, func(other *fault.Error) bool { return other.Error() == n.Error() }) {
			o.notes = append(o.notes, n)
		}
	}
}

// stale says how the Spec and the host have come apart, or nil, and whether everything that is needed is there still.
func (p *planner) stale(v *config.Vendor, share *devices.Share) (f *fault.Error, usable bool) {
	written, loaded := p.versions(v, share)
	needed, missing := share.Missing(p.config.CDI.Rule)
	var why []string
	if written != loaded {
		why = append(why, fmt.Sprintf("it was written for driver %s, the host runs %s", written, loaded))
	}
	hint := regenerate(v, share)
	switch {
	case len(missing) > 0:
		why = append(why, fmt.Sprintf("%d of %d host files that it needs are missing, first: %s", len(missing), needed, missing[0]))
	case len(why) == 0:
		return nil, true
	default:
		why = append(why, "all host files that it needs are there")
		hint += "; if the driver was updated and not loaded since, restart the host"
	}
	return fault.New(fault.Stale, "CDI Spec "+share.Spec, "%s", strings.Join(why, "; ")).WithHint("%s", hint), len(missing) == 0
}

// versions returns the driver that the Spec was written for and the one that the host runs; both are "" where they are not
// known or the same.
func (p *planner) versions(v *config.Vendor, share *devices.Share) (written, loaded string) {
	if v == nil || !v.NVIDIA() {
		return "", ""
	}
	named := nvidia.DriversNamed(share.Files(), share.Arguments())
	loaded = nvidia.ReadDriver(p.config.NVIDIA.DriverVersionFile).Version
	if len(named) == 0 || loaded == "" || slices.Contains(named, loaded) {
		return "", ""
	}
	return strings.Join(named, " and "), loaded
}

// regenerate says how the Specs are made anew.
func regenerate(v *config.Vendor, shares ...*devices.Share) string {
	if len(shares) == 1 && v != nil && v.NVIDIA() {
		return "generate it anew: nvidia-ctk cdi generate --output=" + shares[0].Spec
	}
	paths := make([]string, 0, len(shares))
	for _, s := range shares {
		paths = append(paths, s.Spec)
	}
	return "generate " + strings.Join(paths, " and ") + " anew with the vendor's tool"
}
