package precedence

import (
	"slices"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
)

// From highest to lowest: explain's flag, the annotation for one container, the annotation, CDI annotation, mounts, the
// preferred variables, the variable that they replace.
func TestLevel(t *testing.T) {
	replaced := ask(env(), "0")
	replaced.Replaced = true
	order := requests{
		ask(flag(), "0"), ask(forOne(), "0"), ask(annotation(), "0"), ask(cdi(), "0"), ask(mount(), "0"),
		ask(env(), "0"), replaced,
	}
	l := ladder(config.Sources())
	for i, a := range order {
		for j, b := range order {
			if got := l.above(a, b); got != (i < j) {
				t.Errorf("%s above %s: %v", a.Source, b.Source, got)
			}
		}
	}
	shuffled := slices.Clone(order)
	slices.Reverse(shuffled)
	if got := l.sorted(shuffled); !slices.Equal(got, order) {
		t.Errorf("sorted: %v", got)
	}
	if shuffled[0] != replaced {
		t.Error("the requests were sorted in their own place")
	}
}

// The administrator's order of sources is the order of precedence.
func TestLevelOfOtherOrder(t *testing.T) {
	l := ladder{config.SourceEnv, config.SourceMount, config.SourceAnnotation}
	for _, pair := range [][2]config.Source{
		{env(), mount()}, {mount(), annotation()}, {mount(), flag()}, {flag(), annotation()},
	} {
		a, b := ask(pair[0], "0"), ask(pair[1], "0")
		if !l.above(a, b) || l.above(b, a) {
			t.Errorf("%s is not above %s", a.Source, b.Source)
		}
	}
	// What an engine serves from a source that does not count is on the highest level.
	if l.above(ask(env(), "0"), ask(cdi(), "0")) {
		t.Error("something is above what the engine serves")
	}
}

// A wish has no influence on what was asked for, whatever the source of that.
func TestWishesAreBelow(t *testing.T) {
	l := ladder(config.Sources())
	high := files(annotation())
	for _, test := range []struct {
		name string
		a, b *request.Request
		want bool
	}{
		{"a wish, over what was asked for lower down", high, ask(env(), "0"), false},
		{"what was asked for, over a wish higher up", ask(env(), "0"), high, true},
		{"what was asked for, over a wish of the same source", ask(env(), "0"), wish("all"), true},
		{"nothing, over a wish lower down", nothing(annotation()), wish("all"), true},
		{"nothing, over a wish higher up", nothing(env()), high, false},
		{"a wish, over a wish lower down", files(mount()), wish("all"), true},
		{"a wish, over a wish higher up", wish("all"), files(mount()), false},
	} {
		if got := l.above(test.a, test.b); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	asked, last := ask(env(), "0"), wish("all")
	if got := l.sorted(requests{last, high, asked}); !slices.Equal(got, requests{asked, high, last}) {
		t.Errorf("sorted: %v", got)
	}
}

func TestBelowEngine(t *testing.T) {
	for _, test := range []struct {
		r    *request.Request
		want bool
	}{
		{ask(env(), "0"), true},
		{wish("all"), true},
		{files(mount()), true},
		{ask(mount(), "0"), false},
		{ask(cdi(), "0"), false},
		{ask(annotation(), "0"), false},
	} {
		if got := BelowEngine(test.r); got != test.want {
			t.Errorf("%s: %v", test.r, got)
		}
	}
}
