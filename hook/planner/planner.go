// Package planner makes the plan for one container: it finds a driver for the requests of each vendor, and says why the
// other drivers could not serve them. It reads Specs and host paths, and changes nothing.
package planner

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/precedence"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Planner makes the draft of the plan for one container.
type Planner struct {
	Config    *config.Config
	Container *state.Container
	Root      string // of the container; "" if it has none yet
	// Stage is the one that plans. MakesLate says that it makes the edits that a createRuntime hook cannot make.
	Stage     string
	MakesLate bool

	*Draft

	registry *devices.Registry // of the CDI Specs, once one is needed
	noted    []string          // what of Specs was not understood, and was reported
	trials   []trial
	byCDI    []byCDI // what Specs serve
}

// Plan chooses drivers for the winners of the draft. All of them are served or, wishes apart, none is: an error means
// that the container must not start.
func (p *Planner) Plan() error {
	for _, r := range p.Won {
		p.dropped(r)
		if err := p.chooseVendor(r); err != nil {
			return err
		}
	}
	winners, warnings, err := precedence.EngineDevicesOf(p.Config, p.Container, p.specs).Leave(p.Won)
	p.Warnings = append(p.Warnings, warnings...)
	if err != nil {
		return err
	}
	for _, g := range groups(winners) {
		if err := p.grant(g); err != nil {
			return err
		}
	}
	p.features()
	p.incomplete()
	p.notes()
	return p.late()
}

// dropped warns of the capabilities of a request that are left out.
func (p *Planner) dropped(r *request.Request) {
	if list := r.Dropped(); len(list) > 0 {
		p.Warn(fault.New(fault.Skipped, r.String(),
			"driver %q has no capability %s, which is left out", r.Driver, strings.Join(list, ", ")).
			WithHint("ask for capabilities that the driver has; gpu-hook devices lists them"))
	}
}

// notes warns of Specs that were left out or not understood, and of edits that are in config.json already.
func (p *Planner) notes() {
	if p.registry != nil {
		for _, problem := range p.registry.Problems() {
			p.Warn(fault.New(fault.SpecNote, "CDI Spec left out", "%w", problem).WithHint("%s", problem.Hint()))
		}
	}
	for _, note := range p.edits().Notes {
		p.note(note)
	}
	if n := p.present(); n > 0 {
		p.Warn(fault.New(fault.Duplicate, "config.json", "it carries %d of the edits already: the engine or another hook "+
			"has put them there, and they are not made again", n).
			WithHint("ask for the devices in one way only: of the engine (--device), or of gpu-hook"))
	}
}

// note warns of what of a Spec was not understood, once.
func (p *Planner) note(note *fault.Error) {
	if !slices.Contains(p.noted, note.Error()) {
		p.noted = append(p.noted, note.Error())
		p.Warn(note)
	}
}

// present returns how many edits of what was asked for the engine, or another hook, has put into config.json already.
// It is 0 for an engine that applies CDI by itself, which was asked in the one right way; and a wish was not asked for
// at all.
func (p *Planner) present() int {
	if p.Config.Owns(p.Container.Engine(), config.SourceCDIAnnotation) {
		return 0
	}
	n := 0
	for e := range p.asked.edits.All() {
		if *e.State() == devices.Present && e.Makes() {
			n++
		}
	}
	return n
}

// specs returns the CDI Specs of the host. They are read when they are first needed.
func (p *Planner) specs() *devices.Registry {
	if p.registry == nil {
		p.registry = devices.Open(p.Config.CDI.SpecDirs, p.Config.Self.Owner)
	}
	return p.registry
}

// contractView is the container as contracts see it.
func (p *Planner) contractView() contract.Container {
	sources, _ := request.Sources(p.Config, p.Container)
	return contract.Container{Container: p.Container, Root: p.Root, EnvCounts: slices.Contains(sources, config.SourceEnv)}
}
