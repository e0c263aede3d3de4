package main

import (
	"flag"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook"
)

// Hook definitions and scripts were written for package flag: whatever it reads, parse reads in the same way.
func TestParseReadsAsPackageFlag(t *testing.T) {
	type values struct {
		json bool
		env  string
	}
	read := func(parse func(*flagSet, []string) error, line string) (v values, args []string, err error) {
		flags := newFlags("x", process{stdout: io.Discard, stderr: io.Discard}, "x")
		flags.Usage = func() {}
		flags.SetOutput(io.Discard)
		flags.BoolVar(&v.json, "json", false, "")
		flags.StringVar(&v.env, "env", "", "")
		err = parse(flags, strings.Fields(line))
		return v, flags.Args(), err
	}
	standard := func(flags *flagSet, args []string) error {
		err := flags.Parse(args)
		flags.args = flags.FlagSet.Args()
		return err
	}
	for _, line := range []string{
		"", "--json", "-json", "--json=false", "-json=true", "--json=maybe", "--env x", "-env x", "--env=x=y", "--env=",
		"--env", "--env --json", "--env -- --json", "--env x --env y --json", "a b", "--json a b", "--env x -",
		"-- --json", "--env x -- a", "--nonsense", "--=x", "---json", "--json -- -- x",
	} {
		got, args, err := read(parse, line)
		want, wantArgs, wantErr := read(standard, line)
		if (err == nil) != (wantErr == nil) || err == nil && (got != want || !slices.Equal(args, wantArgs)) {
			t.Errorf("%q: %v %q %v, package flag: %v %q %v", line, got, args, err, want, wantArgs, wantErr)
		}
	}
}

func TestHoist(t *testing.T) {
	for line, want := range map[string]struct{ config, rest string }{
		"a --config /c b":            {"/c", "a b"},
		"--config=/c --json":         {"/c", "--json"},
		"-config /c":                 {"/c", ""},
		"--env --config /c":          {"", "--env --config /c"}, // it is the value of --env
		"--env=x --config /c":        {"/c", "--env=x"},
		"--json --config /c x":       {"/c", "--json x"},
		"-- --config /c":             {"", "-- --config /c"},
		"--nonsense --config /c":     {"/c", "--nonsense"},
		"--version":                  {"", "--version"},
		"--config /b --config /c --": {"/c", "--"},
	} {
		var options hook.Options
		explain, _ := commandOf("explain")
		program := programFlags(process{stdout: io.Discard, stderr: io.Discard}, &options)
		rest, err := hoist(program, explain, strings.Fields(line))
		if err != nil || options.Config != want.config || strings.Join(rest, " ") != want.rest {
			t.Errorf("%q: %q, config %q, %v", line, rest, options.Config, err)
		}
	}
}

// Help, manual page and completion know a command by its table and its flags.
func TestCommandsAreDescribed(t *testing.T) {
	for _, c := range commands() {
		flags, err := flagsOf(c)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(string(flags.usage), " "); first != c.name {
			t.Errorf("%s: its usage is %q", c.name, flags.usage)
		}
		flags.VisitAll(func(f *flag.Flag) {
			if _, about := flag.UnquoteUsage(f); about == "" {
				t.Errorf("%s: nothing is said about --%s", c.name, f.Name)
			}
		})
		if c.about == "" {
			t.Errorf("%s: nothing is said about it", c.name)
		}
	}
}
