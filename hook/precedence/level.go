// Package precedence decides what takes precedence over what, and says why: source over source, vendor over vendor,
// driver over driver, the engine's own devices over requests, and gpu-hook beside the vendor's own hook.
package precedence

import (
	"cmp"
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
)

// ladder are the sources that count for a container, highest first.
type ladder []string

// manners is how many manners one source has at most of making a request, one above the other.
const manners = 3

// level returns where the request is: the lower the number, the higher it is. What an engine serves from a source that
// does not count is on the highest level, because nobody can take it away.
func (l ladder) level(r *request.Request) int {
	kind := r.Origin.Kind
	if kind == config.SourceFlag {
		kind = config.SourceAnnotation // which it takes the place of
	}
	return manners*max(slices.Index(l, kind), 0) + manner(r)
}

// manner orders the requests of one source: explain's flag, the annotation for one container, the one for any; and
// preferred variables before the one that they replace.
func manner(r *request.Request) int {
	switch {
	case r.Origin.Kind == config.SourceAnnotation && !request.ForOneContainer(r.Origin.UnsafeKey):
		return 2
	case r.Origin.Kind == config.SourceAnnotation, r.Replaced:
		return 1
	}
	return 0
}

// sorted returns the requests in the order in which they are settled: wishes behind all others, and each by its level.
func (l ladder) sorted(requests []*request.Request) []*request.Request {
	rank := func(r *request.Request) int {
		if r.Weak {
			return 1
		}
		return 0
	}
	out := slices.Clone(requests)
	slices.SortStableFunc(out, func(a, b *request.Request) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(l.level(a), l.level(b)))
	})
	return out
}

// above reports whether a takes precedence over b if both are for one vendor: by its level or, if b is a wish and a is
// none, on whatever level.
func (l ladder) above(a, b *request.Request) bool {
	switch {
	case a.Weak && !b.Weak:
		return false
	case b.Weak && !a.Weak && a.Status != plan.Empty:
		return true
	}
	return l.level(a) < l.level(b)
}

// BelowEngine reports whether the request is below the devices that the engine was asked for: one of the environment
// is, and every wish.
func BelowEngine(r *request.Request) bool { return r.Weak || r.FromEnv() }
