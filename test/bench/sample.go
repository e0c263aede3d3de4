package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
)

// sample is what one start cost, in milliseconds and MiB.
type sample struct{ wall, cpu, peak float64 }

// side is one of the things that are compared.
type side struct {
	name string
	// prepare runs before each start, clean after it; neither is measured. Both may be nil.
	prepare, clean func() error
	run            func() (sample, error)
}

// starter is a side that is started by the start program: mode and bundle as there.
func (b *bench) starter(name, mode, bundle string, argv ...string) side {
	return b.started(name, append([]string{b.program("start"), mode, bundle}, argv...))
}

// started is a side that is a command line of the start program.
func (b *bench) started(name string, argv []string) side {
	return side{name: name, run: func() (sample, error) {
		cmd := exec.Command(argv[0], argv[1:]...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return sample{}, fmt.Errorf("%s: %w: %s", name, err, &stderr)
		}
		var wall, user, system, peak, status float64
		if _, err := fmt.Sscan(string(out), &wall, &user, &system, &peak, &status); err != nil {
			return sample{}, fmt.Errorf("%s: figures %q: %w", name, out, err)
		}
		if status != 0 {
			return sample{}, fmt.Errorf("%s: wait status %v: %s", name, status, &stderr)
		}
		return sample{wall / 1e6, (user + system) / 1e3, peak / 1024}, nil
	}}
}

// warmups are the rounds that are not counted.
const warmups = 2

// compare starts the sides in turns, each round beginning with another one, and returns the samples of each.
func compare(rounds int, sides ...side) ([][]sample, error) {
	rounds = max(rounds, 1)
	all := make([][]sample, len(sides))
	for round := range rounds + warmups {
		for i := range sides {
			n := (i + round) % len(sides)
			s, err := sides[n].once()
			if err != nil {
				return nil, err
			}
			if round >= warmups {
				all[n] = append(all[n], s)
			}
		}
	}
	return all, nil
}

func (s side) once() (taken sample, err error) {
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return sample{}, fmt.Errorf("prepare %s: %w", s.name, err)
		}
	}
	taken, err = s.run()
	if s.clean != nil {
		if cleanErr := s.clean(); err == nil && cleanErr != nil {
			err = fmt.Errorf("clean up after %s: %w", s.name, cleanErr)
		}
	}
	return taken, err
}

// measure picks one figure of a sample.
type measure func(sample) float64

func wall(s sample) float64 { return s.wall }
func cpu(s sample) float64  { return s.cpu }
func peak(s sample) float64 { return s.peak }

func pick(samples []sample, m measure) []float64 {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = m(s)
	}
	return out
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// paired is the median, over the rounds, of what f makes of the samples of a round.
func paired(all [][]sample, m measure, f func(round []float64) float64) float64 {
	values := make([]float64, len(all[0]))
	for i := range values {
		round := make([]float64, len(all))
		for n := range all {
			round[n] = m(all[n][i])
		}
		values[i] = f(round)
	}
	return median(values)
}
