package hook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// mounts reads the mounts of /dev/null below [nvidia.MountRoot]. Each destination names one device: an id, a qualified name as
// cdi/VENDOR/CLASS/NAME or cdi/VENDOR/CLASS=NAME, or an IMEX channel as imex/CHANNEL.
func (g *gatherer) mounts() []*request {
	vendor := g.config.OfNVIDIA()
	var ids, channels, written []string
	for _, below := range nvidia.BelowMountRoot(g.container) {
		written = append(written, below)
		parts := strings.Split(below, "/")
		switch parts[0] {
		case "cdi":
			id, err := qualified(parts[1:])
			if err != nil {
				return []*request{newRequest(config.Source{Kind: config.SourceMount}, below).mistake(err)}
			}
			ids = append(ids, id)
		case "imex":
			if len(parts) != 2 {
				return []*request{newRequest(config.Source{Kind: config.SourceMount}, below).mistake(fmt.Errorf("an IMEX channel is asked for by a mount on imex/CHANNEL below %s", nvidia.MountRoot))}
			}
			channels = append(channels, parts[1])
		default:
			ids = append(ids, below)
		}
	}
	if len(written) == 0 {
		return nil
	}
	template := newRequest(config.Source{Kind: config.SourceMount}, strings.Join(slices.Compact(slices.Sorted(slices.Values(written))), ","))
	if vendor != nil {
		template = template.with([]*config.Vendor{vendor}, nil)
	}
	var out []*request
	if len(ids) > 0 {
		out = g.visible(template, ids)
	}
	for _, r := range out {
		r.void = r.Status == plan.Empty
	}
	if len(channels) > 0 && vendor != nil {
		out = append(out, g.channels(template, channels))
	}
	return out
}

func qualified(parts []string) (string, error) {
	switch {
	case len(parts) == 3:
		return fmt.Sprintf("%s/%s=%s", parts[0], parts[1], parts[2]), nil
	case len(parts) == 2 && strings.Contains(parts[1], "="):
		return parts[0] + "/" + parts[1], nil
	}
	return "", fmt.Errorf("a CDI device is asked for by a mount on cdi/VENDOR/CLASS/NAME or cdi/VENDOR/CLASS=NAME below %s", nvidia.MountRoot)
}

// visible makes requests of a list of devices in NVIDIA's dialect.
func (g *gatherer) visible(template *request, unsafeIDs []string) []*request {
	v, err := nvidia.VisibleOf(unsafeIDs)
	return g.listed(template, v, err)
}

// listed makes requests of a list of devices that was read, or not.
func (g *gatherer) listed(template *request, v nvidia.Visible, err error) []*request {
	switch {
	case err != nil:
		return []*request{template.with(template.vendors, nil).mistake(err)}
	case v.Nothing != "":
		return []*request{template.with(template.vendors, nil).nothing(v.Nothing)}
	case v.None:
		// Nobody ends up without a device that was asked for: a wish will do.
		r := template.with(template.vendors, nil)
		r.files, r.weak = true, true
		return []*request{r}
	}
	return g.split(template, v.IDs, false)
}

// channels makes a request of a list of IMEX channels. "all" is nothing here, as it is to NVIDIA's own tools.
func (g *gatherer) channels(template *request, unsafeIDs []string) *request {
	r := template.with(template.vendors, nil)
	ids, err := nvidia.ParseChannels(unsafeIDs)
	if err == nil {
		r = template.with(template.vendors, ids)
	}
	r.part, r.weak = partIMEX, false
	switch {
	case err != nil:
		return r.mistake(fault.New(fault.Request, "", "%w", err).WithHint("ask for IMEX channels by their numbers, for example 0,1"))
	case len(ids) == 0:
		return r.nothing("no IMEX channel")
	}
	return r
}
