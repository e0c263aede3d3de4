package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
)

// unit is what a row's result is.
type unit int

const (
	times  unit = iota // a ratio
	added              // milliseconds beyond the reference
	shares             // a ratio of what subject and reference add to a third thing
	memory             // MiB
	shown              // nothing that has a goal
)

// row is a line of the table.
type row struct {
	name string
	goal float64
	unit unit
	// by is the figure that the goal is about.
	by measure
	// measure returns the samples of the subject, of the reference, and for shares of what both add to.
	measure func() (comparison, error)
}

// comparison is what was measured: the subject, then the reference, then what both add to, if anything.
type comparison struct {
	sides   []string
	samples [][]sample
}

// figure is what a side costs, wall and CPU time.
func (c comparison) figure(n int) string {
	return fmt.Sprintf("%.2f / %.2f", median(pick(c.samples[n], wall)), median(pick(c.samples[n], cpu)))
}

// value is the row's result in a figure, as the median over the rounds.
func (c comparison) value(u unit, m measure) float64 {
	switch u {
	case added:
		return paired(c.samples, m, func(v []float64) float64 { return v[0] - v[1] })
	case shares:
		added := func(n int) float64 {
			return paired(c.samples, m, func(v []float64) float64 { return v[n] - v[2] })
		}
		return share(added(0), added(1))
	case memory:
		return median(pick(c.samples[0], m))
	default:
		return paired(c.samples, m, func(v []float64) float64 { return v[0] / v[1] })
	}
}

// share is the ratio of what two things add. Where the second adds nothing that could be measured, no goal is met.
func share(a, b float64) float64 {
	if b <= 0 {
		return math.Inf(1)
	}
	return a / b
}

// least is the row's result by the minimum of each side: what disturbs a start only ever adds to it.
func (c comparison) least(u unit, m measure) float64 {
	low := func(n int) float64 { return slices.Min(pick(c.samples[n], m)) }
	switch u {
	case added:
		return low(0) - low(1)
	case shares:
		return share(low(0)-low(2), low(1)-low(2))
	case memory:
		return low(0)
	default:
		return low(0) / low(1)
	}
}

// table prints the rows as they come, as Markdown.
type table struct {
	broken       bool // a row has failed
	met, missed  int
	notMeasured  int
	explanations []string
}

const columns = "| %-52s | %15s | %-58s | %19s | %19s | %-10s | %-3s |\n"

func (t *table) begin(rounds int) {
	fmt.Printf("%d rounds a row; three times as many where nothing is asked, a third for podman and 100 at once; %d "+
		"processors.\n"+
		"Figures are medians, wall ms / CPU ms. Results are medians over pairs of starts; in brackets what comes of the "+
		"minimums.\n\n", rounds, runtime.NumCPU())
	fmt.Printf(columns, "case", "figure", "reference", "wall", "CPU", "goal", "met")
	fmt.Printf(columns, "---", "---:", "---", "---:", "---:", "---", "---")
}

func (t *table) add(r row, c comparison) {
	if r.unit == shown {
		t.show(r, c)
		return
	}
	format := map[unit]string{times: "%.2f ×", shares: "%.2f ×", added: "%+.2f ms", memory: "%.1f MiB"}[r.unit]
	value := c.value(r.unit, r.by)
	met := "no"
	if t.missed++; value <= r.goal {
		met = "yes"
		t.met++
		t.missed--
	}
	both := func(m measure) string {
		least := strings.TrimSuffix(strings.TrimSuffix(fmt.Sprintf(format, c.least(r.unit, m)), " ×"), " ms")
		return fmt.Sprintf(format, c.value(r.unit, m)) + " (" + least + ")"
	}
	wallValue, cpuValue := both(wall), both(cpu)
	figure := c.figure(0)
	var references []string
	for n, name := range c.sides[1:] {
		references = append(references, name+": "+c.figure(n+1))
	}
	if r.unit == memory {
		figure, wallValue, cpuValue = fmt.Sprintf(format, value), "", ""
	}
	goal := "≤ " + fmt.Sprintf(format, r.goal)
	fmt.Printf(columns, r.name, figure, strings.Join(references, "; "), wallValue, cpuValue, goal, met)
}

// show prints a row for each side, beside the second one.
func (t *table) show(r row, c comparison) {
	for n, name := range c.sides {
		pair := comparison{samples: [][]sample{c.samples[n], c.samples[1]}}
		beside := func(m measure) string { return fmt.Sprintf("%+.2f ms", pair.value(added, m)) }
		fmt.Printf(columns, r.name+": "+name, c.figure(n), c.sides[1], beside(wall), beside(cpu), "", "")
	}
}

func (t *table) missing(r row, why string) {
	t.notMeasured++
	t.explanations = append(t.explanations, r.name+": "+why)
	fmt.Printf(columns, r.name, "not measured", "", "", "", "", "")
}

func (t *table) end() {
	fmt.Printf("\n%d goals met, %d not met, %d not measured.\n", t.met, t.missed, t.notMeasured)
	for _, line := range t.explanations {
		fmt.Println("not measured:", strings.TrimSpace(line))
	}
}
