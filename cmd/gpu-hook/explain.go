package main

import (
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
)

// explain is the command explain. It prints the plan for a container, and changes nothing.
func explain(p process, options hook.Options, args []string) error {
	flags := newFlags("explain", p, commandUsage("explain [--json] [--engine ENGINE] (CONTAINER | --bundle DIR | "+
		"--state FILE|- | [--gpus REQUEST] [--env K=V]... [--annotation K=V]... [--mount SRC:DST]... [--privileged])"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	bundle := flags.String("bundle", "", "explain the bundle in `DIR`")
	stateFile := flags.String("state", "", "explain the container whose state is in `FILE`, - for standard input")
	engineFlag(flags, &options.Engine)
	example := exampleFlags(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 1 {
		return flags.wrong("explain takes one container")
	}
	if err := oneOf(flags); err != nil {
		return err
	}
	var r *report.Report
	var err error
	if flags.NArg() == 1 {
		r, err = hook.ExplainContainer(options, containers.ThisHost(), flags.Arg(0))
	} else {
		r, err = explained(p, options, *bundle, *stateFile, example)
	}
	if err != nil {
		return err
	}
	if err := show(p, r, *asJSON); err != nil {
		return err
	}
	if r.Failed() && !*asJSON {
		return errReported // the text contains the errors
	}
	return failed(p, r)
}

// exampleFlags adds the flags that describe an example, and returns the example that they fill in.
func exampleFlags(flags *flagSet) *hook.Example {
	e := &hook.Example{Annotations: map[string]string{}}
	list := func(name, usage string, to *[]string) {
		flags.Func(name, usage, func(v string) error {
			*to = append(*to, v)
			return nil
		})
	}
	flags.Func("gpus", "an example that asks for `REQUEST`, in the syntax of docker run --gpus", func(v string) error {
		e.GPUs = &v
		return nil
	})
	list("env", "an example with the variable `K=V`; may be repeated", &e.Env)
	flags.Func("annotation", "an example with the annotation `K=V`; may be repeated", func(v string) error {
		key, value, err := hook.ParseAnnotation(v)
		e.Annotations[key] = value
		return err
	})
	list("mount", "an example with the mount `SRC:DST`; may be repeated", &e.Mounts)
	flags.BoolVar(&e.Privileged, "privileged", false, "an example that is privileged")
	return e
}

// oneOf checks that exactly one of a container, a bundle, a state and an example is to be explained.
func oneOf(flags *flagSet) error {
	kinds := map[string]bool{}
	if flags.NArg() > 0 {
		kinds["container"] = true
	}
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "json", "engine":
		case "bundle", "state":
			kinds[f.Name] = true
		default:
			kinds["example"] = true
		}
	})
	if len(kinds) == 1 {
		return nil
	}
	return flags.wrong("explain wants one of a container, --bundle, --state and the flags of an example")
}

// explained returns the report on the bundle, the state or, if neither is named, the example.
func explained(
	p process, options hook.Options, bundle, stateFile string, example *hook.Example,
) (*report.Report, error) {
	switch {
	case bundle != "":
		dir, err := filepath.Abs(bundle)
		if err != nil {
			return nil, mistake("bundle "+bundle, "%w", err)
		}
		return hook.ExplainBundle(options, dir), nil
	case stateFile == "-":
		return hook.ExplainState(options, p.stdin), nil
	case stateFile != "":
		file, err := os.Open(stateFile)
		if err != nil {
			return nil, mistake("state", "%w", err)
		}
		defer file.Close()
		return hook.ExplainState(options, file), nil
	}
	return example.Explain(options)
}

// shown is something that show can print: as text, or encoded as JSON.
type shown interface{ Text(w io.Writer) error }

// show prints a report, an inventory or a checkup to standard output.
func show(p process, what shown, asJSON bool) error {
	if !asJSON {
		text := &strings.Builder{}
		if err := what.Text(text); err != nil {
			return err
		}
		_, err := io.WriteString(p.stdout, terminalOf(p.stdout).shown(text.String()))
		return err
	}
	out := json.NewEncoder(p.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(what)
}
