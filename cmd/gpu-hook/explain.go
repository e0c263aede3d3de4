package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gpu-hook/gpu-hook/hook"
)

func explain(p process, options hook.Options, args []string) error {
	flags := newFlags("explain", p, commandUsage("explain [--json] (--bundle DIR | --state FILE|- | [--gpus REQUEST] [--env K=V]... [--annotation K=V]... [--privileged])"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	bundle := flags.String("bundle", "", "explain the bundle in `DIR`")
	stateFile := flags.String("state", "", "explain the container whose state is in `FILE`, - for standard input")
	example := hook.Example{Annotations: map[string]string{}}
	flags.Func("gpus", "an example that asks for `REQUEST`, in the syntax of docker run --gpus", func(v string) error {
		example.GPUs, example.HasGPUs = v, true
		return nil
	})
	flags.Func("env", "an example with the variable `K=V`; may be repeated", func(v string) error {
		example.Env = append(example.Env, v)
		return nil
	})
	flags.Func("annotation", "an example with the annotation `K=V`; may be repeated", func(v string) error {
		key, value, err := hook.ParseAnnotation(v)
		example.Annotations[key] = value
		return err
	})
	flags.BoolVar(&example.Privileged, "privileged", false, "an example that is privileged")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	if err := oneOf(flags); err != nil {
		return err
	}
	report, err := explained(p, options, *bundle, *stateFile, example)
	if err != nil {
		return err
	}
	if err := show(p, report, *asJSON); err != nil {
		return err
	}
	if !report.Failed() {
		return nil
	}
	if !*asJSON {
		return errReported
	}
	for _, line := range report.Lines() {
		_, _ = fmt.Fprintln(p.stderr, line)
	}
	return errReported
}

// oneOf refuses to explain several things at once.
func oneOf(flags *flag.FlagSet) error {
	kinds := map[string]bool{}
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "json":
		case "bundle", "state":
			kinds[f.Name] = true
		default:
			kinds["example"] = true
		}
	})
	if len(kinds) == 1 {
		return nil
	}
	_, _ = fmt.Fprintln(flags.Output(), "gpu-hook: explain wants one of --bundle, --state and the flags of an example")
	return errUsage
}

func explained(p process, options hook.Options, bundle, stateFile string, example hook.Example) (*hook.Report, error) {
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
	return hook.ExplainExample(options, example), nil
}

// show prints a report.
func show(p process, report *hook.Report, asJSON bool) error {
	if !asJSON {
		return report.Text(p.stdout)
	}
	out := json.NewEncoder(p.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(report)
}
