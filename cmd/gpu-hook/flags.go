package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/nearest"
)

// flagSet is the flags of one command, or of the program. Of package flag it uses the flags; it reads the command line
// itself, so that flags may follow arguments.
type flagSet struct {
	*flag.FlagSet
	p     process
	usage commandUsage
	args  []string // what is not a flag
}

// commandUsage is a command's usage line behind the program's name.
type commandUsage string

// newFlags makes a flag set without flags.
func newFlags(name string, p process, usage commandUsage) *flagSet {
	flags := &flagSet{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), p: p, usage: usage}
	flags.SetOutput(p.stderr)
	return flags
}

// NArg, Arg and Args are about the arguments, as those of package flag.
func (f *flagSet) NArg() int { return len(f.args) }

// Arg returns an argument, or "".
func (f *flagSet) Arg(i int) string {
	if i < len(f.args) {
		return f.args[i]
	}
	return ""
}

// Args returns the arguments.
func (f *flagSet) Args() []string { return f.args }

// isProgram reports whether the flags are those of the program, which stand before the command.
func (f *flagSet) isProgram() bool { return f.Name() == programName }

// parse reads the flags, and keeps the arguments between and behind them. The program's own end at the first argument,
// which is the command. If help is asked for, it prints that and returns [flag.ErrHelp].
func parse(flags *flagSet, args []string) error {
	for len(args) > 0 {
		name, value, kind := token(args[0])
		switch {
		case kind == isArgument && flags.isProgram():
			flags.args = args
			return nil
		case kind == isArgument:
			flags.args, args = append(flags.args, args[0]), args[1:]
			continue
		case kind == isEnd:
			flags.args = append(flags.args, args[1:]...)
			return nil
		}
		f := flags.Lookup(name)
		if f == nil {
			return flags.unknown(name)
		}
		args = args[1:]
		if kind == isFlag && isSwitch(f) {
			value = "true"
		} else if kind == isFlag {
			if len(args) == 0 {
				return flags.wrong("%s--%s needs a value", flags.prefix(), name)
			}
			value, args = args[0], args[1:]
		}
		if err := flags.Set(name, value); err != nil {
			return flags.wrong("%s--%s %s: %w", flags.prefix(), name, value, err)
		}
	}
	return nil
}

// tokenKind is what a word of the command line is.
type tokenKind int

const (
	isArgument tokenKind = iota
	isEnd                // "--": only arguments follow
	isFlag               // with no value, or one in the next word
	isPair               // a flag with its value
)

// token reads a word of the command line as package flag does: one dash is as good as two, and "-" is an argument.
func token(word string) (name, value string, kind tokenKind) {
	if word == "--" {
		return "", "", isEnd
	}
	if len(word) < 2 || word[0] != '-' {
		return "", "", isArgument
	}
	name, value, found := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
	if found {
		return name, value, isPair
	}
	return name, "", isFlag
}

// isSwitch reports whether the flag needs no value.
func isSwitch(f *flag.Flag) bool {
	v, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && v.IsBoolFlag()
}

// unknown prints the help if the flag asks for it, and otherwise what may have been meant.
func (f *flagSet) unknown(name string) error {
	if name == "help" || name == "h" {
		if err := f.help(); err != nil {
			return err
		}
		return flag.ErrHelp
	}
	var names []string
	f.VisitAll(func(known *flag.Flag) { names = append(names, known.Name) })
	meant := ""
	if word := nearest.Word(name, append(names, "help")); word != "" {
		meant = "; did you mean --" + word + "?"
	}
	return f.wrong("%sunknown flag --%s%s", f.prefix(), name, meant)
}

// prefix is what messages about the flags begin with: the command.
func (f *flagSet) prefix() string {
	if f.isProgram() {
		return ""
	}
	return f.Name() + ": "
}

// wrong prints what is wrong on the command line, and where the flags are described.
func (f *flagSet) wrong(format string, args ...any) error {
	help := "gpu-hook " + f.Name() + " --help"
	if f.isProgram() {
		help = "gpu-hook help"
	}
	err := fmt.Errorf(format, args...)
	_, _ = fmt.Fprintf(f.p.stderr, "gpu-hook: %v\ngpu-hook: fix: %s lists the flags\n", err, help)
	return errUsage
}

// engineFlag adds the flag by which a hook's definition says whose it is.
func engineFlag(flags *flagSet, engine *string) {
	flags.Func("engine", "the engine is `ENGINE`: podman, crio, containerd or buildah", func(name string) (err error) {
		*engine, err = request.EngineOf(name)
		return err
	})
}

// noArguments refuses what a command takes no notice of.
func noArguments(flags *flagSet) error {
	if flags.NArg() == 0 {
		return nil
	}
	return flags.wrong("%s takes no argument %q", flags.Name(), flags.Arg(0))
}

// flagsOf returns the flags of a command, which it adds before all else that it does. Asked for help, it does nothing
// more.
func flagsOf(c command) (flags *flagSet, err error) {
	p := process{onHelp: func(f *flagSet) { flags = f }}
	if err := c.run(p, hook.Options{}, []string{"--help"}); !errors.Is(err, flag.ErrHelp) {
		return nil, fmt.Errorf("command %s: help: %w", c.name, err)
	}
	return flags, nil
}

// hoist gives the program those of its flags that stand behind the command, and returns the command's arguments without
// them. A flag that the command has too is the command's. Flags without a value stay where they are.
func hoist(program *flagSet, c command, args []string) ([]string, error) {
	own, err := flagsOf(c)
	if err != nil {
		return nil, err
	}
	var ours, rest []string
	for len(args) > 0 {
		name, _, kind := token(args[0])
		if kind == isEnd {
			break
		}
		to, f := &rest, own.Lookup(name)
		if g := program.Lookup(name); f == nil && kind != isArgument && g != nil && !isSwitch(g) {
			to, f = &ours, g
		}
		words := 1
		if kind == isFlag && f != nil && !isSwitch(f) {
			words = min(2, len(args))
		}
		*to, args = append(*to, args[:words]...), args[words:]
	}
	return append(rest, args...), parse(program, ours)
}
