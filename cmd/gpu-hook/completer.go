package main

import (
	"flag"
	"io"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// completer knows where on the command line it is.
type completer struct {
	options hook.Options // as the flags before set them
	program *flagSet
	command *command   // or nil before it
	own     *flagSet   // the command's flags, or nil before it
	awaits  *flag.Flag // the next word is its value
	args    int        // how many arguments the command has
	ended   bool       // by "--": only arguments follow
	lost    bool       // the command is unknown
}

func newCompleter(p process) *completer {
	c := &completer{}
	p.stdout, p.stderr = io.Discard, io.Discard
	c.program = programFlags(p, &c.options)
	c.program.Bool("version", false, "print the version")
	return c
}

// read goes past a word.
func (c *completer) read(word string) {
	name, value, kind := token(word)
	switch {
	case c.awaits != nil:
		c.set(c.awaits, word)
		c.awaits = nil
	case c.ended || kind == isArgument:
		c.argument(word)
	case kind == isEnd:
		c.ended = true
	default:
		f := c.lookup(name)
		switch {
		case f == nil:
		case kind == isPair:
			c.set(f, value)
		case !isSwitch(f):
			c.awaits = f
		}
	}
}

// set gives the program's flag its value: what it names is where devices and records are looked for.
func (c *completer) set(f *flag.Flag, value string) {
	if c.program.Lookup(f.Name) == f {
		_ = f.Value.Set(value)
	}
}

// argument goes past an argument.
func (c *completer) argument(word string) {
	if c.command != nil {
		c.args++
		return
	}
	found, ok := commandOf(word)
	if !ok {
		c.lost = true
		return
	}
	own, err := flagsOf(found)
	if err != nil {
		c.lost = true
		return
	}
	c.command, c.own = &found, own
}

// lookup returns the flag of this name, or nil.
func (c *completer) lookup(name string) *flag.Flag {
	if c.own != nil {
		if f := c.own.Lookup(name); f != nil {
			return f
		}
	}
	return c.program.Lookup(name)
}

// candidates returns what the word after those read can be. They need not begin as the word does.
func (c *completer) candidates(word string) []candidate {
	name, value, kind := token(word)
	switch {
	case c.lost:
		return nil
	case c.awaits != nil:
		return c.values(c.awaits, word)
	case kind == isPair && !c.ended:
		return c.pairs(name, word[:len(word)-len(value)], value)
	case strings.HasPrefix(word, "-") && !c.ended:
		return c.flags()
	case c.command == nil:
		var out []candidate
		for _, known := range commands() {
			out = append(out, candidate{known.name, known.about})
		}
		return out
	case c.args > 0:
		return nil
	}
	return c.arguments(word)
}

// pairs returns the values of a flag that stands in one word with them, behind its name and "=".
func (c *completer) pairs(name, before, value string) []candidate {
	f := c.lookup(name)
	if f == nil || isSwitch(f) {
		return nil
	}
	values := c.values(f, value)
	for i := range values {
		if !strings.HasPrefix(values[i].word, ":") {
			values[i].word = before + values[i].word
		}
	}
	return values
}

// flags returns the flags that can stand here.
func (c *completer) flags() []candidate {
	var out []candidate
	add := func(f *flag.Flag) {
		_, about := flag.UnquoteUsage(f)
		out = append(out, candidate{"--" + f.Name, about})
	}
	if c.own != nil {
		c.own.VisitAll(add)
	}
	c.program.VisitAll(func(f *flag.Flag) {
		if c.command == nil || !isSwitch(f) && !c.command.stage {
			add(f)
		}
	})
	return append(out, candidate{"--help", "describe it"})
}

// arguments returns what the command's argument can be.
func (c *completer) arguments(word string) []candidate {
	switch c.command.completes {
	case containerArgument:
		return containerNames(word)
	case recordArgument:
		return append(containerNames(word), unique(hook.Recorded(c.options), "container with a record")...)
	case shellArgument:
		return unique(shells(), "")
	case topicArgument:
		var out []candidate
		for _, known := range commands() {
			out = append(out, candidate{known.name, known.about})
		}
		for _, e := range fault.Table() {
			out = append(out, candidate{string(e.Code), e.Meaning})
		}
		return append(out, candidate{"errors", "all codes"})
	}
	return nil
}

// containerNames returns the names of the engines' containers and, of those whose id begins with the word, the ids.
func containerNames(word string) []candidate {
	var out []candidate
	for _, known := range hook.Containers(containers.ThisHost()) {
		if word != "" || !known.IsID {
			out = append(out, candidate{known.Word, known.About})
		}
	}
	return out
}

// values returns the values of a flag, by what its usage calls them.
func (c *completer) values(f *flag.Flag, word string) []candidate {
	kind, _ := flag.UnquoteUsage(f)
	switch kind {
	case "FILE":
		return []candidate{{":files", ""}}
	case "DIR":
		return []candidate{{":directories", ""}}
	case "ENGINE":
		if c.own != nil && (c.own.Name() == "install" || c.own.Name() == "uninstall") {
			return unique([]string{"podman", "crio", "containerd"}, "")
		}
		return unique([]string{"podman", "crio", "containerd", "buildah"}, "")
	case "REQUEST":
		return c.requests(word)
	case "K=V":
		return c.keys(f.Name, word)
	}
	return nil
}

// requests returns values of docker run --gpus with the devices, drivers and capabilities that the host has. Of a list
// they complete the last part.
func (c *completer) requests(word string) []candidate {
	before := word[:strings.LastIndex(word, ",")+1]
	i := c.inventory()
	out := []candidate{{before + "all", "every device"}}
	for _, d := range i.Devices {
		out = append(out, candidate{before + "device=" + d.Name, d.Spec})
	}
	for _, v := range i.Vendors {
		out = append(out, candidate{before + "driver=" + v.Name, v.Kind})
	}
	return out
}

// keys returns the variables or annotations by which a container asks and, behind one of them, the host's devices.
func (c *completer) keys(flagName, word string) []candidate {
	i := c.inventory()
	var keys []string
	if flagName == "env" {
		for _, v := range i.Vendors {
			keys = append(keys, v.Env)
		}
	} else {
		keys = []string{"gpu-hook/gpus", "cdi.k8s.io/gpu"}
	}
	key, _, hasValue := strings.Cut(word, "=")
	if !hasValue {
		var out []candidate
		for _, k := range unique(keys, "") {
			out = append(out, candidate{k.word + "=", ""})
		}
		return out
	}
	var out []candidate
	if key != "cdi.k8s.io/gpu" {
		out = append(out, candidate{key + "=all", "every device"})
	}
	prefix := key + "="
	if key == "gpu-hook/gpus" {
		prefix += "device="
	}
	for _, d := range i.Devices {
		out = append(out, candidate{prefix + d.Name, d.Spec})
	}
	return out
}

// inventory returns what this host has to give, as far as it can be read.
func (c *completer) inventory() *report.Inventory {
	i, err := checkup.Inventory(c.options)
	if err != nil {
		return &report.Inventory{}
	}
	return i
}
