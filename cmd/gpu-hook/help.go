package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// help prints the usage of the program, one error code or all of them.
func help(p process, _ hook.Options, args []string) error {
	switch {
	case len(args) == 0:
		return dispatch([]string{"--help"}, p)
	case len(args) > 1:
		_, _ = fmt.Fprintf(p.stderr, "gpu-hook: help takes no argument %q\n", args[1])
		return errUsage
	case args[0] == "errors":
		return listCodes(p.stdout)
	}
	entry, found := fault.Lookup(fault.Code(strings.ToUpper(args[0])))
	if found {
		return describe(p.stdout, entry)
	}
	for _, c := range commands() {
		if c.name == args[0] && c.name != "help" {
			return c.run(p, hook.Options{}, []string{"--help"})
		}
	}
	_, _ = fmt.Fprintf(p.stderr, "gpu-hook: unknown code or command %q\n"+
		"gpu-hook: fix: gpu-hook help errors lists the codes, gpu-hook help the commands\n", args[0])
	return errUsage
}

// describe prints what there is to know about one code.
func describe(out io.Writer, e fault.Entry) error {
	example := ""
	if e.Example != "" {
		example = "For example:\n" + e.Line() + "\n\n"
	}
	_, err := fmt.Fprintf(out, "%s (%s)\n\n%s\n\n%sWhat to do: %s\n", e.Code, e.Kind, e.Meaning, example, e.Fix)
	return err
}

// listCodes prints a line for each code.
func listCodes(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, e := range fault.Table() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", e.Code, e.Kind, e.Meaning)
	}
	return w.Flush()
}
