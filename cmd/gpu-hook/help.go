package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/nearest"
)

const (
	programName  = "gpu-hook"
	programAbout = "gpu-hook gives containers of podman, CRI-O and bare OCI runtimes the GPUs they ask for."
	exitStatuses = "exit status: 0 done or nothing to do, 1 refused or failed, 2 usage"
)

// help is the command help. It prints the help of the program or of a command, or what is known about an error code or
// all of them.
func help(p process, _ hook.Options, args []string) error {
	flags := newFlags("help", p, "help [COMMAND | CODE | errors]")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 1 {
		return flags.wrong("help takes no argument %q", flags.Arg(1))
	}
	topic := flags.Arg(0)
	switch topic {
	case "":
		return dispatch([]string{"--help"}, p)
	case "errors":
		return listCodes(p.page(), terminalOf(p.stdout).is)
	}
	if entry, found := fault.Lookup(fault.Code(strings.ToUpper(topic))); found {
		return describe(p.page(), entry)
	}
	c, found := commandOf(topic)
	if !found {
		return unknownTopic(p, topic)
	}
	return c.run(p, hook.Options{}, []string{"--help"})
}

// commandOf returns the command of this name. The runtimes' old name of the stage createRuntime is one too.
func commandOf(name string) (c command, found bool) {
	if name == "prestart" {
		name = "createRuntime"
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// unknownTopic says that there is no help about it, and what may have been meant.
func unknownTopic(p process, topic string) error {
	topics := append(commandNames(), "errors")
	for _, e := range fault.Table() {
		topics = append(topics, string(e.Code))
	}
	_, _ = fmt.Fprintf(p.stderr, "gpu-hook: unknown code or command %q%s\n"+
		"gpu-hook: fix: gpu-hook help errors lists the codes, gpu-hook help the commands\n",
		topic, didYouMean(topic, topics))
	return errUsage
}

// commandNames returns the names of all commands.
func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// didYouMean returns the end of a message that names the candidate that word is a misspelling of, or "".
func didYouMean(word string, candidates []string) string {
	meant := nearest.Word(word, candidates)
	if meant == "" {
		return ""
	}
	return "; did you mean " + meant + "?"
}

// describe prints what there is to know about one code.
func describe(to page, e fault.Entry) error {
	to.text("", fmt.Sprintf("%s (%s)", e.Code, e.Kind))
	to.text("\n", e.Meaning)
	if e.Example != "" {
		to.line("\nFor example:\n%s", e.Line())
	}
	to.text("\n", "What to do: "+e.Fix)
	return to.end()
}

// listCodes prints a row for each code. It breaks them on a terminal only: elsewhere somebody may search in them.
func listCodes(to page, isTerminal bool) error {
	if !isTerminal {
		to.width = math.MaxInt
	}
	var rows []row
	for _, e := range fault.Table() {
		rows = append(rows, row{fmt.Sprintf("%-12s  %-11s", e.Code, e.Kind), e.Meaning})
	}
	to.rows("", rows)
	return to.end()
}

// help prints the help of the program or of a command to standard output.
func (f *flagSet) help() error {
	if f.p.onHelp != nil {
		f.p.onHelp(f)
		return nil
	}
	to := f.p.page()
	if f.isProgram() {
		programHelp(to, f)
		return to.end()
	}
	c, _ := commandOf(f.Name())
	commandHelp(to, c, f)
	return to.end()
}

// programHelp prints what the program is, and its commands and flags.
func programHelp(to page, flags *flagSet) {
	to.text("", programAbout)
	to.usage(flags)
	for _, group := range []struct {
		title    string
		commands []command
	}{
		{"commands:", hostCommands()}, {"installation:", installCommands()}, {"run by engines:", stageCommands()},
	} {
		var rows []row
		for _, c := range group.commands {
			rows = append(rows, row{strings.TrimSpace(c.name + " " + c.args), c.about})
		}
		to.line("\n%s", group.title)
		to.rows("  ", rows)
	}
	to.line("\nflags, before or behind the command:")
	to.rows("  ", flagRows(flags))
	to.text("\n", exitStatuses)
	to.text("\n", "gpu-hook help COMMAND describes a command, gpu-hook help CODE an error code.")
}

// commandHelp prints what a command does, its flags and examples.
func commandHelp(to page, c command, flags *flagSet) {
	to.text("", strings.ToUpper(c.about[:1])+c.about[1:]+".")
	to.usage(flags)
	if c.more != "" {
		to.text("\n", c.more)
	}
	if rows := flagRows(flags); len(rows) > 0 {
		to.line("\nflags:")
		to.rows("  ", rows)
	}
	if len(c.examples) > 0 {
		to.line("\nexamples:")
	}
	for _, e := range c.examples {
		to.line("  %s", e.line)
		to.text("      ", e.about)
	}
	if !c.stage {
		to.text("\n", "The flags --config FILE and --cdi-spec-dir DIR are the program's: gpu-hook help describes them.")
	}
}

// flagRows returns a row for each flag.
func flagRows(flags *flagSet) []row {
	var rows []row
	flags.VisitAll(func(f *flag.Flag) {
		value, about := flag.UnquoteUsage(f)
		rows = append(rows, row{strings.TrimSpace("--" + f.Name + " " + value), about})
	})
	return rows
}

// page is text for people, of a limited width.
type page struct {
	out   *strings.Builder
	to    io.Writer
	width int
}

// row is a line of a table: a word and what is to be said about it.
type row struct{ word, about string }

// page returns an empty page for standard output.
func (p process) page() page {
	return page{out: &strings.Builder{}, to: p.stdout, width: terminalOf(p.stdout).width}
}

// end prints the page.
func (p page) end() error {
	_, err := io.WriteString(p.to, p.out.String())
	return err
}

// line writes lines as they are: they are commands, or short.
func (p page) line(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format+"\n", args...) }

// text writes a paragraph. indent is what comes before it: spaces, which its further lines get too, or a line's end.
func (p page) text(indent, text string) {
	p.out.WriteString(indent)
	p.out.WriteString(fold(text, strings.Trim(indent, "\n"), p.width) + "\n")
}

// usage writes the usage line of a command or of the program. It is not broken between a flag and its value.
func (p page) usage(flags *flagSet) {
	const label, hardSpace = "usage: ", '\u00a0'
	depth := 0
	line := strings.Map(func(r rune) rune {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == ' ' && depth > 0:
			return hardSpace
		}
		return r
	}, programName+" "+string(flags.usage))
	folded := fold(line, strings.Repeat(" ", len(label)), p.width)
	p.line("\n%s%s", label, strings.ReplaceAll(folded, string(hardSpace), " "))
}

// rows writes a table. What is to be said about a long word begins below it. On a narrow terminal all words are long.
func (p page) rows(indent string, rows []row) {
	const narrow = 60
	column := 2
	for _, r := range rows {
		if p.width >= narrow && len(r.word) <= p.width/3 {
			column = max(column, len(r.word))
		}
	}
	hang := indent + strings.Repeat(" ", column+2)
	for _, r := range rows {
		head := fmt.Sprintf("%s%-*s  ", indent, column, r.word)
		if len(r.word) > column {
			p.out.WriteString(indent + r.word + "\n")
			head = hang
		}
		p.out.WriteString(head + fold(r.about, hang, p.width) + "\n")
	}
}
