// Package holders finds out which running containers hold which devices: from the records that gpu-hook has left of
// their starts, and from what the engines call them. It changes nothing.
package holders

import (
	"cmp"
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// unseen says what no record tells.
const unseen = "Not seen: containers that were started without gpu-hook, and devices that only the engine was asked " +
	"for (podman run --device)"

// List returns the running containers that hold devices: the caller's own and, for root, those of users' rootless
// engines. A configuration that cannot be read hides none.
func List(o config.Options) *report.Holders {
	c, configErr := o.Load()
	out := &report.Holders{Containers: []report.Holder{}, Unseen: unseen + ".", Errors: []report.Message{}}
	if f := fault.From(configErr); f != nil {
		out.Errors = append(out.Errors, report.MessageOf(configErr))
	}
	list, errs := report.Running(c.RunDir())
	if c.Self.Rootless {
		out.Unseen = unseen + ", and containers of others."
	} else {
		theirs, theirErrs := usersRecords(thisHost())
		list, errs = append(list, theirs...), append(errs, theirErrs...)
	}
	for _, err := range errs {
		out.Errors = append(out.Errors, report.MessageOf(err))
	}
	if len(list) > 0 {
		rename(list, engineNames(containers.ThisHost()))
	}
	kinds := map[string]string{}
	for _, v := range c.Vendors {
		kinds[v.Name] = v.Kind
	}
	for _, r := range list {
		out.Containers = append(out.Containers, report.HolderOf(r, kinds))
	}
	slices.SortStableFunc(out.Containers, func(a, b report.Holder) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// owned is a container of one user's engine.
type owned struct {
	uid int
	id  string
}

// engineNames returns what the engines call their containers now. A storage that cannot be read costs names alone, and
// the records have those that the containers had when they started.
func engineNames(view containers.View) map[owned]containers.Container {
	list, _ := containers.List(view)
	names := map[owned]containers.Container{}
	for _, c := range list {
		names[owned{c.UID, c.ID}] = c
	}
	return names
}

// rename gives the containers of the records the names that their engines have for them now.
func rename(list []*report.Report, names map[owned]containers.Container) {
	for _, r := range list {
		c := &r.Container
		known, found := names[owned{c.UID, c.ID}]
		switch {
		case !found:
		case known.Pod != "":
			c.Namespace, c.Pod, c.Name = known.Namespace, known.Pod, known.PodContainer
		case len(known.Names) > 0:
			c.Name = known.Names[0]
		}
	}
}
