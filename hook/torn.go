package hook

import (
	"maps"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// torn returns the error of a request whose rest stands in an annotation of its own, and nil for a whole one. pieces are
// the keys under which a rest would stand: podman 4 reads the flag --annotation as CSV, so of
// gpu-hook/gpus=driver=amd,count=2 it makes a second annotation "count". What is left looks like a request, for less.
// CRI-O and containerd have annotations from structures, and there strangers choose the other keys.
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
		return fault.New(fault.Request, "", "an annotation %q stands beside it, as if the engine had split one at its comma", pair).
			WithHint(`put quotes around the whole: --annotation '"%s=%s,%s"'; if it is another's annotation, it must go`, unsafeKey, unsafeValue, pair)
	}
	return nil
}

// quoted returns requests of a source of this kind whose key begins with the quotes that an engine which reads no CSV has left there: it is nobody's
// key, and the container would start without what it asks for.
func (g *gatherer) quoted(kind, prefix string) []*request {
	var out []*request
	for _, key := range slices.Sorted(maps.Keys(g.container.Spec.Annotations)) {
		if bare, found := strings.CutPrefix(key, `"`); found && strings.HasPrefix(bare, prefix) {
			r := newRequest(config.Source{Kind: kind, UnsafeKey: key}, g.container.Spec.Annotations[key])
			out = append(out, r.mistake(fault.New(fault.Request, "", "its key begins with a quote").
				WithHint("leave the outer quotes out: this engine does not split annotations at commas")))
		}
	}
	return out
}

// kinds are the keys that the rest of a CDI annotation would have: the kinds of its names and of the vendors.
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
