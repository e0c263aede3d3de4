package request

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// torn returns an error if a part of an annotation's value seems to be in another annotation, whose key is one of
// pieces: podman 4 reads the flag --annotation as CSV, so that gpu-hook/gpus=driver=amd,count=2 becomes two
// annotations, the second one with the key "count". The first looks like a request, for less. CRI-O and containerd take
// annotations from structures, and there strangers choose the other keys.
func (g *gatherer) torn(unsafeKey, unsafeValue string, pieces []string) error {
	if e := g.container.Engine(); e == state.CRIO || e == state.Containerd {
		return nil
	}
	for _, piece := range pieces {
		rest, found := g.container.Spec.Annotations[piece]
		if !found {
			continue
		}
		pair := piece + "=" + rest
		return fault.New(fault.Request, "",
			"an annotation %q is beside it, as if one was split at its comma", pair).
			WithHint(`quote the whole: --annotation '"%s=%s,%s"'; another's annotation must go`,
				unsafeKey, unsafeValue, pair)
	}
	return nil
}

// quoted returns a mistake for each annotation whose key begins with a quote and one of the prefixes. An engine that
// does not read CSV leaves the quotes of the command line in the key: it is nobody's key then, and the container
// would start without what it requests.
func (g *gatherer) quoted(kind string, prefixes ...string) []*Request {
	begins := func(key string) bool {
		bare, found := strings.CutPrefix(key, `"`)
		return found && slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(bare, prefix) })
	}
	var out []*Request
	for _, key := range some(g.keys(begins)) {
		r := New(config.Source{Kind: kind, UnsafeKey: key}, g.container.Spec.Annotations[key])
		out = append(out, r.mistake(fault.New(fault.Request, "", "its key begins with a quote").
			WithHint("leave the outer quotes out: this engine does not split annotations at commas")))
	}
	return out
}

// kinds returns the keys that the rest of a torn CDI annotation can have: the kinds of its names and of the vendors.
func (g *gatherer) kinds(a devices.Annotated) []string {
	var out []string
	for _, n := range a.Names {
		out = append(out, n.Kind())
	}
	for i := range g.config.Vendors {
		out = append(out, g.config.Vendors[i].Kind)
	}
	return out
}
