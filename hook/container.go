package hook

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

// ExplainContainer returns the report on the plan for the container of an engine that has this name or id: what its
// next start would come to. The bundle is that of its last start, whether that succeeded or not.
func ExplainContainer(o Options, view containers.View, nameOrID string) (*report.Report, error) {
	c, err := containers.Find(view, nameOrID)
	if err != nil {
		return nil, err
	}
	s, err := planned(o, c)
	if err != nil {
		return nil, err
	}
	return s.Report, nil
}

// planned plans for a container that an engine knows, and changes nothing.
func planned(o Options, c containers.Container) (*Start, error) {
	container, err := load(c)
	if err != nil {
		return nil, err
	}
	container.Identify(cmp.Or(o.Engine, c.Engine, container.Claimed()), nil)
	s := newStart(StageCreateRuntime)
	s.container, s.self = container, hookOf(c)
	s.run.Describe(container)
	s.run.Container.Name, s.run.Container.Pod, s.run.Container.Namespace = c.Name(), c.Pod, c.Namespace
	if c.PodContainer != "" {
		s.run.Container.Name = c.PodContainer
	}
	s.run.Container.UID = c.UID
	s.explain(o, nil, func() error { return s.lookFor(c) })
	return s, nil
}

// load reads the bundle of a container that an engine knows.
func load(c containers.Container) (*state.Container, error) {
	if c.Bundle == "" {
		return nil, neverStarted(c)
	}
	config, err := containers.ReadConfig(c)
	if err != nil {
		return nil, err
	}
	var s state.State
	s.ID, s.Bundle = c.ID, c.Bundle
	return state.Parse(s, config)
}

// neverStarted says why there is no bundle to look at, and what to do about it.
func neverStarted(c containers.Container) error {
	name := c.Word()
	err := fault.New(fault.Bundle, "container "+c.String(),
		"it was never started, and its engine writes config.json at the start")
	switch c.Engine {
	case state.Podman:
		return err.WithHint("podman init %s; then: gpu-hook explain %s", name, name)
	case state.Buildah:
		return fault.New(fault.Bundle, "container "+c.String(), "a build keeps no config.json where it can be found").
			WithHint("describe what it asks for: gpu-hook explain --engine buildah --gpus all")
	}
	return err.WithHint("start it; then: gpu-hook explain %s", name)
}

// hookOf returns the identity that a hook of the container's engine has, or nil if it is this process's: the hook of a
// rootless engine runs in that one's user namespace.
func hookOf(c containers.Container) *trust.Self {
	if c.UID == 0 {
		return nil
	}
	uid := uint32(c.UID) //nolint:gosec // uids have 32 bits
	return &trust.Self{Rootless: true, Namespaced: true, UID: c.UID, Owner: trust.Owner{UID: uid}}
}

// lookFor finds the root filesystem of a container that need not run. One that cannot be seen is not refused, as it
// would be at a start, where it is mounted.
func (s *Start) lookFor(c containers.Container) error {
	if err := s.container.CheckNamespaces(); err != nil {
		return err
	}
	if c.UID != 0 && !trust.Identify().Rootless {
		// Root follows no paths of a user's.
		s.unseen = append(s.unseen, "its user's own configuration, CDI Specs and root filesystem: "+
			"that user sees them with the same command")
		return nil
	}
	if root, err := s.container.Root(); err == nil && !isEmpty(root) {
		s.root = root
		return nil
	}
	s.unseen = append(s.unseen, "its root filesystem, which is not mounted now: whether something of the image is in "+
		"the way shows at the start")
	return nil
}

// lastOf returns the record of a container that an engine knows. If there is none, the error says why.
func lastOf(o Options, runDir string, c containers.Container) (*report.Report, error) {
	if c.UID != trust.Identify().UID {
		// One of ours with the same id is not this one: users can write any id into their storage.
		return nil, fault.New(fault.Record, "container "+c.String(), "its records are its user's").
			WithHint("run it as uid %d", c.UID)
	}
	r, err := report.Last(runDir, c.ID)
	if err == nil {
		return r, nil
	}
	s, planErr := planned(o, c)
	if planErr != nil {
		return nil, planErr
	}
	return nil, s.withoutRecord(c)
}

// withoutRecord says why there is no record of the last start of the container, for which was planned again.
func (s *Start) withoutRecord(c containers.Container) error {
	what := "container " + c.String()
	name := c.Word()
	asked := slices.IndexFunc(s.plan.Requests, func(r plan.Request) bool { return r.Status != plan.Empty })
	switch {
	case asked < 0:
		return fault.New(fault.Record, what, "it asks for nothing, and of that gpu-hook leaves no record").
			WithHint("gpu-hook help explain says how a container asks; gpu-hook explain %s shows this one", name)
	case !s.hooked():
		return fault.New(fault.Record, what, "it asks for devices (%s), and gpu-hook was not called: "+
			"its config.json has no such hook", s.plan.Requests[asked]).
			WithHint("gpu-hook doctor says why its engine does not call gpu-hook; then start it again")
	}
	return fault.New(fault.Record, what, "it asks for devices (%s), and its record is gone: only the newest are kept, "+
		"and none when the host restarts", s.plan.Requests[asked]).
		WithHint("start it again, or: gpu-hook explain %s", name)
}

// hooked reports whether the container's config.json has gpu-hook among its hooks.
func (s *Start) hooked() bool {
	hooks := s.container.Spec.Hooks
	if hooks == nil {
		return false
	}
	//nolint:staticcheck // Prestart is deprecated, and older engines write it
	for _, h := range slices.Concat(hooks.CreateRuntime, hooks.Prestart) {
		if filepath.Base(h.Path) == "gpu-hook" || len(h.Args) > 0 && filepath.Base(h.Args[0]) == "gpu-hook" {
			return true
		}
	}
	return false
}

// isEmpty reports whether there is nothing in the directory: a mount point on which nothing is mounted.
func isEmpty(dir string) bool {
	handle, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer handle.Close()
	_, err = handle.Readdirnames(1)
	return errors.Is(err, io.EOF)
}
