package hook

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/render"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// StagePrecreate is podman's stage before the container exists, where hooks edit its spec.
const StagePrecreate = "precreate"

// PlanSpec plans for the container whose spec stands on stdin, and changes nothing. [Start.Render] must follow.
func PlanSpec(o Options, stdin io.Reader) *Start {
	s := &Start{Report: report.New(StagePrecreate)}
	container, raw, err := state.ReadSpec(stdin)
	if err != nil {
		s.config, _ = o.load() // for the places alone
		s.Report.Container.ID = newID()
		s.Report.Fail(report.ResultRefused, err)
		return s
	}
	if container.State.ID == "" {
		container.State.ID = newID()
	}
	container.Identify(cmp.Or(o.Engine, state.Podman), nil)
	s.container, s.spec = container, raw
	s.Report.Describe(container)
	s.plan(o, nil, s.checkSpec, s.checkSpec)
	return s
}

// ownIDs is how the ids begin that we choose.
const ownIDs = "precreate-"

// newID names a record of a container whose id is not known.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return ownIDs + hex.EncodeToString(b[:])
}

// ownID says whether id is one that we chose.
func ownID(id string) bool {
	sum, found := strings.CutPrefix(id, ownIDs)
	b, err := hex.DecodeString(sum)
	return found && err == nil && len(b) == 8
}

// checkSpec looks at what can be known before there is a container: a root filesystem by an absolute path.
func (s *Start) checkSpec() error {
	if root := s.container.Spec.Root; root != nil && root.Path != "" && !filepath.IsAbs(root.Path) {
		return s.container.CheckNamespaces()
	}
	return s.checkRoot()
}

// Render carries the plan out in the spec and returns that: the very bytes that were read where there is nothing to do,
// and nil where the container must not start. What only the later stage can do, it leaves to that. The outcome is in the
// report and in its record; nobody reads what a precreate hook writes elsewhere.
func (s *Start) Render() []byte {
	if !s.Report.Failed() && !s.notable() {
		return s.spec
	}
	out := s.spec
	switch {
	case s.Report.Result != report.ResultPlanned:
	case s.claim != nil:
		s.Report.Result = report.ResultApplied
	default:
		edited, err := s.render()
		if err != nil {
			s.Report.Fail(report.ResultRefused, err)
		}
		out = edited
		s.Report.Phase("render")
	}
	settle(s.Report)
	s.Report.Keep(s.config.RunDir(), s.config.Record.Keep)
	s.Report.Tell()
	if s.Report.Failed() {
		return nil
	}
	return out
}

func (s *Start) render() ([]byte, error) {
	env := s.environment()
	text, err := s.newClaim(env)
	if err != nil {
		return nil, err
	}
	out, err := render.Spec(s.spec, render.Plan{
		Edits: s.Report.Edits, Env: env, Annotations: map[string]string{AnnotationPlan: string(text)},
		Bind: s.config.Self.Namespaced || s.container.UserNamespace(),
	})
	if err != nil {
		return nil, err
	}
	for _, status := range s.Report.Edits.Statuses() {
		if *status == devices.Apply {
			*status = devices.Applied
		}
	}
	if len(s.delegates) == 0 {
		s.Report.Result = report.ResultApplied
	}
	return out, nil
}

// environment are the delegates' variables, for the container's program. Where NVIDIA's own hook runs too they would ask
// that for devices.
func (s *Start) environment() []string {
	if findOther(s.config, s.container) != nil {
		return nil
	}
	return delegateEnv(s.Report)
}

// newClaim is the annotation for the later stage; env is set beside the edits.
func (s *Start) newClaim(env []string) ([]byte, error) {
	sum, err := digest(s.Report)
	if err != nil {
		return nil, fault.New(fault.Internal, "annotation "+AnnotationPlan, "%w", err)
	}
	c := claim{Record: s.container.State.ID, Digest: sum, Requests: servedOf(s.Report), Env: map[string]*string{}, Found: present(s.Report.Edits)}
	set := slices.Clone(env)
	for _, v := range s.Report.Edits.Env {
		if v.Status == devices.Apply {
			set = append(set, v.Value)
		}
	}
	for _, v := range set {
		name, _, _ := strings.Cut(v, "=")
		if value, was := s.container.Env(name); asking(s.config, name) {
			c.Env[name] = nil
			if was {
				c.Env[name] = &value
			}
		}
	}
	if n := s.Report.Edits.NetDevices; len(c.Env) > 0 && fromEnv(c.Requests) && slices.ContainsFunc(n, func(n *devices.NetDevice) bool { return n.Status == devices.Late }) {
		// The later stage would have to move them at the word of the claim alone.
		return nil, n[0].Fault(errors.New("the environment asks for it, and is edited here, but this engine's runtime-spec cannot have network devices moved")).
			WithHint("ask by the annotation %s instead, or use an engine of runtime-spec 1.3", AnnotationGPUs)
	}
	return json.Marshal(c)
}

// asking says whether a variable has a say in what a container gets. Others are nobody's business.
func asking(c *config.Config, name string) bool {
	return strings.HasPrefix(name, "NVIDIA_") || name == nvidia.CUDAVersion || slices.Contains(c.Requests.PreferredEnv, name) ||
		slices.ContainsFunc(c.Vendors, func(v config.Vendor) bool { return v.Env == name })
}
