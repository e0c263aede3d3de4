package hook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// AnnotationPlan is where precreate tells createRuntime what it has put into config.json. Anybody who may set annotations
// can write it, so it grants nothing: what it says holds only if the plan that it leads to is there already.
const AnnotationPlan = "gpu-hook/plan"

// maxClaim bounds the annotation, in bytes.
const maxClaim = 1 << 20

// claim is the value of the annotation.
type claim struct {
	Record   string             `json:"record"` // id of precreate's record
	Digest   string             `json:"digest"` // of the plan
	Requests []served           `json:"requests"`
	Env      map[string]*string `json:"env,omitempty"`   // what variables that ask were before the plan set them, null for not set
	Found    int                `json:"found,omitempty"` // edits that were there before
}

// served is a request that the plan serves.
type served struct {
	Source  string   `json:"source"`
	Value   string   `json:"value"`
	Vendor  string   `json:"vendor"`
	Driver  string   `json:"driver"`
	Devices []string `json:"devices"`
}

// claimOf returns the claim that a container carries, or nil, or why what it carries is none.
func claimOf(c *state.Container) (*claim, error) {
	text, found := c.Spec.Annotations[AnnotationPlan]
	switch {
	case !found:
		return nil, nil //nolint:nilnil // there is none
	case c.Engine() == state.CRIO:
		return nil, errors.New("CRI-O knows no stage that could have written it")
	case len(text) > maxClaim:
		return nil, fmt.Errorf("it is longer than %d bytes", maxClaim)
	}
	var out claim
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// servedOf lists the requests that a plan serves.
func servedOf(r *report.Report) []served {
	out := []served{}
	for _, g := range r.Grants {
		q := r.Requests[g.Request]
		out = append(out, served{q.Source, q.Value, g.Vendor, g.Driver, q.Devices})
	}
	return out
}

// digest is that of a plan: of what it serves and what it comes to, whatever has become of that.
func digest(r *report.Report) (string, error) {
	edits := devices.NewEdits()
	data, err := json.Marshal(r.Edits)
	if err == nil {
		err = json.Unmarshal(data, edits)
	}
	if err != nil {
		return "", err
	}
	for _, s := range edits.Statuses() {
		*s = ""
	}
	data, err = json.Marshal([]any{servedOf(r), edits, delegateEnv(r)})
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), err
}

// delegateEnv are the variables by which the plan's delegates name devices and driver capabilities: programs in the
// container look at them too.
func delegateEnv(r *report.Report) []string {
	var out []string
	for _, g := range r.Grants {
		if g.Delegate == nil {
			continue
		}
		for i, v := range g.Delegate.Env {
			// The first is the one that names the devices.
			if (i == 0 || strings.HasPrefix(v, nvidia.DriverCapabilities+"=")) && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out
}

// restored returns the container as it was before the plan set variables.
func (c *claim) restored(container *state.Container) *state.Container {
	if container.Spec.Process == nil || len(c.Env) == 0 {
		return container
	}
	spec, process := *container.Spec, *container.Spec.Process
	process.Env = slices.DeleteFunc(slices.Clone(process.Env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, set := c.Env[name]
		return set
	})
	for name, value := range c.Env {
		if value != nil {
			process.Env = append(process.Env, name+"="+*value)
		}
	}
	spec.Process = &process
	return container.With(&spec)
}

// trust keeps the plan that the claim has led to if the claim holds; check is what must hold if something is left to do.
// Otherwise the error says why not, and all is as before that plan.
func (s *Start) trust(c *claim, check func() error) error {
	err := c.check(s.Report, s.container)
	if err == nil && s.left() {
		err = check()
	}
	if err != nil {
		again := report.New(s.Report.Container.Stage)
		again.Describe(s.container)
		again.Phases = s.Report.Phases
		s.Report, s.won, s.delegates = again, nil, nil
		return err
	}
	s.claim = c
	if c.Record != s.container.State.ID && ownID(c.Record) {
		s.Report.Container.Precreate = c.Record
	}
	s.Report.Told()
	return nil
}

// left says whether the plan has something still to be done.
func (s *Start) left() bool {
	undone := slices.ContainsFunc(s.Report.Edits.Statuses(), func(status *devices.Status) bool { return *status == devices.Apply })
	return undone || len(s.delegates) > 0
}

// check says why the claim does not hold: the plan that it leads to must be the one that it is of, and be there already.
// What else is still to be done must be asked for by something else than what only the claim says of the environment.
func (c *claim) check(r *report.Report, container *state.Container) error {
	switch {
	case r.Failed():
		return fmt.Errorf("the plan of which it is fails: %s", r.Errors[0].Message)
	case len(r.Grants) == 0:
		return errors.New("nothing that it serves is asked for")
	}
	sum, err := digest(r)
	if err != nil {
		return err
	}
	if sum != c.Digest {
		return errors.New("it is of another plan than the one made now; CDI Specs, configuration or config.json have changed since, or it is forged")
	}
	if err := c.made(r, container.Spec); err != nil {
		return err
	}
	return c.set(r, container.Spec)
}

// fromEnv says whether the environment asks for something of what is served.
func fromEnv(list []served) bool {
	return slices.ContainsFunc(list, func(q served) bool { return strings.HasPrefix(q.Source, "env:") })
}

// made checks that every edit is there, and the rules that nodes need. Network devices may be left to the later stage; then the environment, of which the
// claim tells a story, must not be what asks.
func (c *claim) made(r *report.Report, spec *specs.Spec) error {
	if len(c.Env) > 0 && fromEnv(servedOf(r)) && slices.ContainsFunc(r.Edits.NetDevices, func(n *devices.NetDevice) bool { return n.Status == devices.Apply }) {
		return errors.New("its network devices are not in config.json")
	}
	others := *r.Edits
	others.NetDevices = nil
	for _, s := range others.Statuses() {
		if *s == devices.Apply || *s == devices.Late {
			return errors.New("not everything that it claims is in config.json")
		}
	}
	var rules []specs.LinuxDeviceCgroup
	if spec.Linux != nil && spec.Linux.Resources != nil {
		rules = spec.Linux.Resources.Devices
	}
	if slices.ContainsFunc(r.Edits.DeviceNodes, func(d *devices.DeviceNode) bool { return !d.Allowed(rules) }) {
		return errors.New("not every device rule that it claims is in config.json")
	}
	return nil
}

// set checks that the variables of which the claim says what they were are those that the plan sets, to what they are;
// and that a delegate which the environment asks for is what it asks for as it is.
func (c *claim) set(r *report.Report, spec *specs.Spec) error {
	container := &state.Container{Spec: spec}
	sets := map[string]string{}
	note := func(v string) {
		name, value, _ := strings.Cut(v, "=")
		sets[name] = value
	}
	for _, v := range r.Edits.Env {
		note(v.Value)
	}
	for _, v := range delegateEnv(r) {
		note(v)
	}
	for name := range c.Env {
		value, planned := sets[name]
		if now, set := container.Env(name); !planned || !set || now != value {
			return fmt.Errorf("the plan has not set variable %q", name)
		}
	}
	for _, g := range r.Grants {
		if g.Delegate == nil || len(g.Delegate.Env) == 0 || !strings.HasPrefix(r.Requests[g.Request].Source, "env:") {
			continue
		}
		name, value, _ := strings.Cut(g.Delegate.Env[0], "=")
		if now, set := container.Env(name); len(c.Env) > 0 && (!set || now != value) {
			return fmt.Errorf("variable %q does not ask for what it claims", name)
		}
	}
	return nil
}
