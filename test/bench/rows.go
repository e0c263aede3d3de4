package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const visible = "NVIDIA_VISIBLE_DEVICES="

// rows are those of the table, in order.
func (b *bench) rows() []row {
	nothing, many, beside := shape{}, all(), all()
	many.instances, beside.others = instances, 20
	rows := []row{
		ratio("nothing asked", 1.5, wall, b.quietAgainstEmpty(nothing)),
		ratio("nothing asked: a CUDA image's void", 2.5, wall, b.quiet(shape{env: []string{visible + "void"}})),
		ratio("nothing asked: a CUDA image's empty variable", 2.5, wall, b.quiet(shape{env: []string{visible}})),
		ratio("nothing asked: 200 annotations of others", 2.5, wall, b.quiet(shape{annotations: 200})),
		ratio("nothing asked: config.json of 1 MB", 2.5, wall, b.quiet(shape{padding: 1 << 20})),
		ratio("8 GPUs, 40 mounts, 28 nodes", 3.5, wall, b.against("floor", all())),
		ratio("8 GPUs, against Go with the checks", 2, wall, b.against("gofloor", all())),
		ratio("8 GPUs among 1,025 devices", 1.3, cpu, b.against("gpu-hook", many)),
		ratio("8 GPUs, 20 Specs of others beside", 1.1, cpu, b.against("gpu-hook", beside)),
		{name: "added to runc create, 8 GPUs", goal: 0.5, unit: shares, by: cpu, measure: b.runcCreate},
		difference("added to podman run, nothing asked, both stages", 5, cpu, b.podmanQuiet),
		ratio("100 quiet starts at once, sum", 1.5, cpu, b.atOnce),
		difference("systemd told by D-Bus", 3, wall, b.systemd("told")),
		difference("systemd asked, which has it already", 0.5, wall, b.systemd("listed")),
		difference("delegate, over NVIDIA's hook alone", 2, wall, b.delegate),
		{name: "peak memory, nothing asked", goal: 4, unit: memory, by: peak, measure: b.peak("state", nothing)},
		{name: "peak memory, 8 GPUs", goal: 8, unit: memory, by: peak, measure: b.peak("held", all())},
	}
	for _, way := range []struct {
		command string
		measure func() (comparison, error)
	}{{"runc create", b.runcStarts}, {"podman run", b.podmanStarts}} {
		rows = append(rows, row{name: "start time, 8 GPUs: " + way.command, unit: shown, measure: way.measure})
	}
	return rows
}

func ratio(name string, goal float64, by measure, measure func() (comparison, error)) row {
	return row{name: name, goal: goal, unit: times, by: by, measure: measure}
}

func difference(name string, goal float64, by measure, measure func() (comparison, error)) row {
	return row{name: name, goal: goal, unit: added, by: by, measure: measure}
}

// all asks for every GPU, as images do.
func all() shape { return shape{env: []string{visible + "all"}} }

// place makes a synthetic host and bundle of this shape, once.
func (b *bench) place(s shape) (*place, error) {
	if b.places == nil {
		b.places = map[string]func() (*place, error){}
	}
	key := fmt.Sprintf("%+v", s)
	if b.places[key] == nil {
		dir := filepath.Join(b.dir, fmt.Sprintf("place%d", len(b.places)))
		b.places[key] = sync.OnceValues(func() (*place, error) { return newPlace(dir, s) })
	}
	return b.places[key]()
}

// hook is gpu-hook as a side, on a place of this shape.
func (b *bench) hook(mode string, s shape) (side, error) {
	p, err := b.place(s)
	if err != nil {
		return side{}, err
	}
	return b.starter("gpu-hook", mode, p.bundle, p.gpuHook(b)...), nil
}

// versus compares sides by name.
func (b *bench) versus(rounds int, sides ...side) (comparison, error) {
	samples, err := compare(rounds, sides...)
	c := comparison{samples: samples}
	for _, s := range sides {
		c.sides = append(c.sides, s.name)
	}
	return c, err
}

// quickFactor is how many more rounds the rows get whose starts take a few milliseconds.
const quickFactor = 3

func (b *bench) quietAgainstEmpty(s shape) func() (comparison, error) {
	return func() (comparison, error) {
		subject, err := b.hook("state", s)
		if err != nil {
			return comparison{}, err
		}
		return b.versus(quickFactor*b.rounds, subject, b.starter("an empty Go program", "bare", "", b.program("empty")))
	}
}

// quiet compares a container that asks for nothing in an unusual way with one that has nothing to do with GPUs.
func (b *bench) quiet(s shape) func() (comparison, error) {
	return func() (comparison, error) {
		subject, err := b.hook("state", s)
		if err != nil {
			return comparison{}, err
		}
		reference, err := b.hook("state", shape{})
		if err != nil {
			return comparison{}, err
		}
		reference.name = "nothing asked"
		return b.versus(quickFactor*b.rounds, subject, reference)
	}
}

// against compares a request for all GPUs with the same by another program, or on the plain host.
func (b *bench) against(program string, s shape) func() (comparison, error) {
	return func() (comparison, error) {
		subject, err := b.hook("held", s)
		if err != nil {
			return comparison{}, err
		}
		plain := shape{env: s.env}
		reference, err := b.hook("held", plain)
		if err != nil {
			return comparison{}, err
		}
		reference.name = "8 GPUs"
		if strings.HasSuffix(program, "floor") {
			p, err := b.place(plain)
			if err != nil {
				return comparison{}, err
			}
			reference = b.starter(program, "held", p.bundle, b.program(program), p.Path("plan"), "{rootfs}")
		}
		return b.versus(b.rounds, subject, reference)
	}
}

// atOnce starts 100 hooks at once. The figures are sums, of which only the CPU time means something.
func (b *bench) atOnce() (comparison, error) {
	subject, err := b.hook("100", shape{})
	if err != nil {
		return comparison{}, err
	}
	p, err := b.place(shape{})
	if err != nil {
		return comparison{}, err
	}
	reference := b.starter("empty Go programs", "100", p.bundle, b.program("empty"))
	return b.versus(b.rounds/engineDivisor, subject, reference)
}

func (b *bench) peak(mode string, s shape) func() (comparison, error) {
	return func() (comparison, error) {
		p, err := b.place(s)
		if err != nil {
			return comparison{}, err
		}
		argv := p.gpuHook(b)
		if argv[0], err = b.unread(argv[0]); err != nil {
			return comparison{}, err
		}
		return b.versus(b.rounds/engineDivisor, b.starter("gpu-hook", mode, p.bundle, argv...))
	}
}

// unread is a copy of the program that is not in the page cache, as after a start of the machine. A file that was just
// written is there in large pieces. Linux 6.18 maps each of them as a whole, and a process that uses a part of it seems
// larger than it is by up to 3 MiB.
func (b *bench) unread(program string) (string, error) {
	path := program + ".unread"
	if err := copyFile(program, path); err != nil {
		return "", err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	err = errors.Join(file.Sync(), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
	return path, errors.Join(err, file.Close())
}
