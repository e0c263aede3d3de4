// Command mutants takes guards out of the code, one at a time, and runs the tests that must notice. It prints the guards
// whose absence no test notices, the survivors, and ends with status 1 if there are any.
//
// The tree is never changed: a mutated file replaces the original by go's -overlay, in the test and in the binary that a
// test builds.
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
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1) //nolint:gocritic // the signal need not be released any more
	}
}

// run tries every mutant that matches, and prints what became of it.
func run(ctx context.Context, only string) error {
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
	var survivors []mutant
	var invalid []error
	for i, m := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		start := time.Now()
		noticed, err := lab.try(ctx, m)
		verdict := "noticed "
		switch {
		case err != nil:
			verdict = "INVALID "
			invalid = append(invalid, fmt.Errorf("%s: %w", m.guard, err))
		case !noticed:
			verdict = "SURVIVED"
			survivors = append(survivors, m)
		}
		fmt.Printf("%3d/%d %s %5.1fs  %s\n", i+1, len(list), verdict, time.Since(start).Seconds(), m.guard)
	}
	fmt.Printf("%d guards, %d survivors, %s\n", len(list), len(survivors), time.Since(began).Round(time.Second))
	for _, m := range survivors {
		fmt.Printf("no test notices: %s (%s)\n", m.guard, m.file)
	}
	if len(survivors) > 0 {
		invalid = append(invalid, fmt.Errorf("%d guards can be taken out without a test noticing", len(survivors)))
	}
	return errors.Join(invalid...)
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
