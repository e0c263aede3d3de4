package devices

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// TestAppendAgainstOneByOne compares Append with what it does by definition: each edit is compared with all before it.
// The edits that are added to need not be in any order, and may have some of one key.
func TestAppendAgainstOneByOne(t *testing.T) {
	for seed := range uint64(500) {
		whole := randomEdits(rand.New(rand.NewPCG(seed, 0)))
		want := randomEdits(rand.New(rand.NewPCG(seed, 0)))
		if seed%2 == 0 {
			whole, want = NewEdits(), NewEdits()
		}
		for part := range uint64(4) {
			whole.Append(randomEdits(rand.New(rand.NewPCG(seed, part+1))))
			appendOneByOne(want, randomEdits(rand.New(rand.NewPCG(seed, part+1))))
			if diff := cmp.Diff(want, whole, cmp.Comparer(sameNote)); diff != "" {
				t.Fatalf("seed %d, part %d: %s", seed, part, diff)
			}
		}
	}
}

// TestJoin compares the edits of up to three parts, some of which are empty, with those that Append makes of them.
func TestJoin(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		var parts []*Edits
		want := NewEdits()
		for range r.IntN(4) {
			part := NewEdits()
			if r.IntN(3) > 0 {
				part.Append(randomEdits(r))
			}
			parts = append(parts, part)
			want.Append(part)
		}
		got := Join(parts...)
		if diff := cmp.Diff(want, got, cmp.Comparer(sameNote)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if !slices.Equal(got.Statuses(), want.Statuses()) {
			t.Fatalf("seed %d: other edits than those of the parts", seed)
		}
		before := Join(parts...)
		clear(got.Mounts)
		if diff := cmp.Diff(before, Join(parts...), cmp.Comparer(sameNote)); diff != "" {
			t.Fatalf("seed %d: a list is shared with a part: %s", seed, diff)
		}
	}
}

func sameNote(a, b *fault.Error) bool { return a.What() == b.What() && a.Error() == b.Error() }

// randomEdits returns up to 8 edits of each kind, many of them with the key of another. What is not in the key tells
// them apart.
func randomEdits(r *rand.Rand) *Edits {
	e := NewEdits()
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	words := func() []string { return [][]string{nil, {}, {"a"}, {"a", "b"}, {`a" "b`}}[r.IntN(5)] }
	mark := func() Status { return Status(fmt.Sprint(r.IntN(1000))) }
	paths := []string{"/a", "/a/", "/./a", "/b", "/a/b", "/a//b", "/a/b/c", "/z/b/c", "/d/../b", "b", "/a/b/c/d", "/"}
	for range r.IntN(9) {
		e.Env = append(e.Env, &Env{one("A", "AB", "B", "C") + "=" + one("1", "2", "A=3", ""), mark()})
		e.DeviceNodes = append(e.DeviceNodes, &DeviceNode{Path: one(paths...), Own: r.IntN(3) == 0, Status: mark()})
		e.Mounts = append(e.Mounts, &Mount{HostPath: one("/1", "/2"), ContainerPath: one(paths...), Status: mark()})
		seconds := r.IntN(1000)
		e.Hooks = append(e.Hooks, &Hook{one("a", "b"), one("/a", "/b"), words(), mark(), words(), &seconds})
		e.NetDevices = append(e.NetDevices, &NetDevice{one("a", "b", "c"), one("a", "b"), mark()})
		e.AdditionalGIDs = append(e.AdditionalGIDs, &GID{uint32(r.IntN(8)), mark()})
		e.Notes = append(e.Notes, fault.New(fault.SpecNote, one("a", "b"), "%s", one("1", "2")))
	}
	if r.IntN(2) == 0 {
		e.IntelRdt = []*IntelRdt{{ClosID: one("a", "b"), Status: mark()}}
	}
	return e
}

// appendOneByOne is the definition of [Edits.Append].
func appendOneByOne(to, more *Edits) {
	for _, v := range more.Env {
		name, _, _ := strings.Cut(v.Value, "=")
		to.Env = putOne(to.Env, v, func(o *Env) bool { return strings.HasPrefix(o.Value, name+"=") })
	}
	for _, d := range more.DeviceNodes {
		same := func(o *DeviceNode) bool { return path.Clean(o.Path) == path.Clean(d.Path) }
		d.Own = d.Own || slices.ContainsFunc(to.DeviceNodes, func(o *DeviceNode) bool { return o.Own && same(o) })
		to.DeviceNodes = putOne(to.DeviceNodes, d, same)
	}
	for _, m := range more.Mounts {
		putMount(to, m)
	}
	for _, h := range more.Hooks {
		to.Hooks = putOne(to.Hooks, h, func(o *Hook) bool {
			return h.HookName == o.HookName && h.Path == o.Path && slices.Equal(h.Args, o.Args) && slices.Equal(h.Env, o.Env)
		})
	}
	for _, n := range more.NetDevices {
		same := func(o *NetDevice) bool { return o.HostInterfaceName == n.HostInterfaceName }
		to.NetDevices = putOne(to.NetDevices, n, same)
	}
	for _, g := range more.AdditionalGIDs {
		to.AdditionalGIDs = putOne(to.AdditionalGIDs, g, func(o *GID) bool { return o.Value == g.Value })
	}
	for _, rdt := range more.IntelRdt {
		to.IntelRdt = []*IntelRdt{rdt}
	}
	for _, n := range more.Notes {
		to.Notes = putOne(to.Notes, n, func(o *fault.Error) bool { return o.What() == n.What() })
	}
}

func putMount(to *Edits, m *Mount) {
	depth := func(o *Mount) int { return strings.Count(path.Clean(o.ContainerPath), "/") }
	same := func(o *Mount) bool { return path.Clean(o.ContainerPath) == path.Clean(m.ContainerPath) }
	if slices.ContainsFunc(to.Mounts, same) {
		to.Mounts = putOne(to.Mounts, m, same)
		return
	}
	behind := slices.IndexFunc(to.Mounts, func(o *Mount) bool { return depth(o) > depth(m) })
	if behind < 0 {
		behind = len(to.Mounts)
	}
	to.Mounts = slices.Insert(to.Mounts, behind, m)
}

func putOne[T any](list []T, v T, same func(T) bool) []T {
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = v
		return list
	}
	return append(list, v)
}
