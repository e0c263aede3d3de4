package request

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// mounts reads the mounts of /dev/null below [nvidia.MountRoot]. Each destination names one device: by an id, by a
// qualified name as cdi/VENDOR/CLASS/NAME or cdi/VENDOR/CLASS=NAME, or a part of the vendor's contract as imex/CHANNEL.
func (g *gatherer) mounts() []*Request {
	vendor := g.config.OfMounts()
	below := nvidia.BelowMountRoot(g.container)
	if len(below) == 0 {
		return nil
	}
	var ids []string
	parts := map[string][]string{}
	for _, unsafePath := range below {
		part, id, err := mounted(unsafePath)
		switch {
		case err != nil:
			return []*Request{New(config.Source{Kind: config.SourceMount}, unsafePath).mistake(err)}
		case part == "":
			ids = append(ids, id)
		default:
			parts[part] = append(parts[part], id)
		}
	}
	value := strings.Join(slices.Compact(slices.Sorted(slices.Values(below))), ",")
	template := New(config.Source{Kind: config.SourceMount}, value)
	if vendor != nil {
		template = template.With([]*config.Vendor{vendor}, nil)
	}
	var out []*Request
	if len(ids) > 0 {
		v, err := nvidia.VisibleOf(ids)
		out = g.listed(template, v, err)
	}
	for _, r := range out {
		r.Void = r.Status == plan.Empty
	}
	for _, part := range g.config.ContractOf(vendor).Parts() {
		if list := parts[part.Name]; len(list) > 0 {
			out = append(out, g.part(template, part, list))
		}
	}
	return out
}

// mounted returns the id that a mount requests, and the part of the contract that it is of, "" for devices.
func mounted(unsafePath string) (part, id string, err error) {
	components := strings.Split(unsafePath, "/")
	switch components[0] {
	case "cdi":
		id, err = qualified(components[1:])
		return "", id, err
	case nvidia.PartIMEX:
		if len(components) != 2 {
			return "", "", fmt.Errorf("an IMEX channel is asked for by a mount on imex/CHANNEL below %s", nvidia.MountRoot)
		}
		return nvidia.PartIMEX, components[1], nil
	}
	return "", unsafePath, nil
}

func qualified(components []string) (string, error) {
	switch {
	case len(components) == 3:
		return fmt.Sprintf("%s/%s=%s", components[0], components[1], components[2]), nil
	case len(components) == 2 && strings.Contains(components[1], "="):
		return components[0] + "/" + components[1], nil
	}
	return "", fmt.Errorf("a CDI device is asked for by a mount on cdi/VENDOR/CLASS/NAME or cdi/VENDOR/CLASS=NAME "+
		"below %s", nvidia.MountRoot)
}
