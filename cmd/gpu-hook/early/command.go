package early

// command is the command line of a hook.
type command struct {
	stage  string
	config string // the value of --config, or ""
}

// parse reads the arguments behind the program's name. It is not ok with any but those that definitions of hooks have.
func parse(args []string) (c command, ok bool) {
	for c.stage == "" {
		if len(args) == 0 {
			return c, false
		}
		name, value, rest, isFlag := flag(args)
		switch {
		case !isFlag && (args[0] == "createRuntime" || args[0] == "precreate"):
			c.stage, args = args[0], args[1:]
		case name == "config" && value != "":
			c.config, args = value, rest
		case name == "cdi-spec-dir":
			args = rest
		default:
			return c, false
		}
	}
	if len(args) == 0 {
		return c, true
	}
	name, value, rest, _ := flag(args)
	return c, name == "engine" && isEngine(value) && len(rest) == 0
}

// flag reads a flag with a value as package flag does, and returns the arguments behind it.
func flag(args []string) (name, value string, rest []string, ok bool) {
	text := args[0]
	if len(text) < 2 || text[0] != '-' {
		return "", "", nil, false
	}
	text = text[1:]
	if text[0] == '-' {
		text = text[1:]
	}
	for i := range len(text) {
		if text[i] == '=' {
			return text[:i], text[i+1:], args[1:], true
		}
	}
	if len(args) == 1 {
		return "", "", nil, true
	}
	return text, args[1], args[2:], true
}

// isEngine reports whether --engine takes the name.
func isEngine(name string) bool {
	switch name {
	case "podman", "crio", "cri-o", "containerd", "buildah":
		return true
	}
	return false
}
