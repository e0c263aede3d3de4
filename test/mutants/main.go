// Command mutants takes guards out of the code, one at a time, and runs the tests that must notice. It prints the
// guards whose absence no test notices, the survivors, and ends with status 1 if there are any.
//
// The tree is never changed: a mutated file replaces the original by go's -overlay, in the test and in the binary that
// a test builds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() {
	only := flag.String("run", "", "take out only the guards whose description matches `REGEXP`")
	workers := flag.Int("j", 1, "take out this `NUMBER` of guards at the same time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, max(1, *workers)); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1) //nolint:gocritic // the signal need not be released any more
	}
}

// run tries every mutant that matches, a number of them at a time, and prints what became of each.
func run(ctx context.Context, only string, workers int) error {
	matching, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	list := selected(matching)
	lab, err := newLab()
	if err != nil {
		return err
	}
	defer lab.close()
	began := time.Now()
	if err := lab.healthy(ctx, list); err != nil {
		return err
	}
	fmt.Printf("the tests pass with all guards, %s\n", time.Since(began).Round(time.Second))
	verdicts := tryAll(ctx, list, workers)
	var errs []error
	survivors := 0
	for i := range list {
		v := <-verdicts
		fmt.Printf("%3d/%d %s\n", i+1, len(list), v)
		switch {
		case v.err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", v.mutant.guard, v.err))
		case !v.noticed:
			survivors++
			errs = append(errs, fmt.Errorf("no test notices that this is missing: %s (%s)", v.mutant.guard, v.mutant.file))
		}
	}
	fmt.Printf("%d guards, %d survivors, %s\n", len(list), survivors, time.Since(began).Round(time.Second))
	return errors.Join(errs...)
}

// verdict is what became of a mutant.
type verdict struct {
	mutant  mutant
	noticed bool
	err     error
	took    time.Duration
}

func (v verdict) String() string {
	word := "noticed "
	switch {
	case v.err != nil:
		word = "INVALID "
	case !v.noticed:
		word = "SURVIVED"
	}
	return fmt.Sprintf("%s %5.1fs  %s", word, v.took.Seconds(), v.mutant.guard)
}

// tryAll tries the mutants, each worker in a lab of its own, and returns where the verdicts come out.
func tryAll(ctx context.Context, list []mutant, workers int) <-chan verdict {
	left, verdicts := make(chan mutant, len(list)), make(chan verdict)
	for _, m := range list {
		left <- m
	}
	close(left)
	for range workers {
		go func() {
			lab, err := newLab()
			if err == nil {
				defer lab.close()
			}
			for m := range left {
				v := verdict{mutant: m, err: err}
				if start := time.Now(); err == nil {
					v.noticed, v.err = lab.try(ctx, m)
					v.took = time.Since(start)
				}
				verdicts <- v
			}
		}()
	}
	return verdicts
}

// selected returns the mutants whose guard matches.
func selected(matching *regexp.Regexp) (out []mutant) {
	for _, m := range mutants() {
		if matching.MatchString(m.guard) {
			out = append(out, m)
		}
	}
	return out
}
