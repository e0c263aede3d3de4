package main

import "github.com/gpu-hook/gpu-hook/hook"

// command is a command of the program. Help, the manual page and completion are made from it and from its flags.
type command struct {
	name, args, about string
	run               func(process, hook.Options, []string) error
	more              string // paragraphs about it
	examples          []example
	stage             bool   // an engine runs it at a container's start
	completes         string // what its arguments are, for completion
}

// example is a command line and what it is good for.
type example struct{ line, about string }

// What arguments of commands are.
const (
	containerArgument = "container" // of an engine
	recordArgument    = "record"    // of an engine, or with a record
	topicArgument     = "topic"
	shellArgument     = "shell"
)

// commands returns the commands in the order of the help.
func commands() []command {
	return append(append(hostCommands(), installCommands()...), stageCommands()...)
}

// hostCommands returns the commands about containers and the host.
func hostCommands() []command {
	return []command{
		{
			name: "explain", args: "[flags] [CONTAINER]", run: explain, completes: containerArgument,
			about: "say what a container would get, and why, without giving it",
			more: "It makes the plan that the hook would make, prints it with every reason, and changes nothing. " +
				"CONTAINER is the name or the id with podman or CRI-O, or the beginning of the id; it may run, have ended, " +
				"or have been refused. Instead of it, flags can name a bundle or a state, or describe an example.",
			examples: []example{
				{"gpu-hook explain web", "the container web: what its next start would get"},
				{"gpu-hook explain --gpus all", "what podman run with the annotation gpu-hook/gpus=all gets"},
				{"gpu-hook explain --env NVIDIA_VISIBLE_DEVICES=0 --engine crio", "a variable under CRI-O"},
				{"gpu-hook explain --bundle DIR --json", "the bundle of a container, as JSON"},
			},
		},
		{
			name: "last", args: "[--json] [--all | CONTAINER]", run: last, completes: recordArgument,
			about: "say what the last container that asked for a device got, or this one",
			more: "CONTAINER is the name or the id with the engine, or the beginning of the id. Only containers that asked " +
				"for a device leave a record: the newest hundred of those that got devices, the newest fifty each of those " +
				"that got none and those that did not start, and those of running containers. Of one that starts again, the " +
				"last start counts. Of one without a record it says why there is none: it asked for nothing, or gpu-hook was " +
				"not called.",
			examples: []example{
				{"gpu-hook last", "the newest start"},
				{"gpu-hook last web", "the container web"},
				{"gpu-hook last 3f9a --json", "the container whose id begins so, as JSON"},
				{"gpu-hook last --all", "a line for each record: when, who, what it asked for and what it got"},
			},
		},
		{
			name: "ps", args: "[--json]", run: ps,
			about: "list the running containers that hold devices",
			more: "For each request that was served it prints the container's engine, name and id, the user whose engine it " +
				"is, since when it runs, its devices and the request. Root sees the containers of users' rootless engines " +
				"too. The list comes from the records of starts: a container that was started without gpu-hook is not in it.",
			examples: []example{
				{"gpu-hook ps", "which container has the GPU"},
				{"gpu-hook ps --json", "the same for scripts"},
			},
		},
		{
			name: "devices", args: "[--json]", run: inventory,
			about: "say what this host has to give: vendors, drivers, devices, precedence",
			more: "It reads the CDI Specs and the configuration, and lists the vendors in order of preference, the names " +
				"that a request can use, the running containers that hold each device, as gpu-hook ps tells it, and the " +
				"sources of requests that count for each engine.",
			examples: []example{{"gpu-hook devices", "the names for --gpus device=NAME"}},
		},
		{
			name: "doctor", args: "[flags]", run: doctor,
			about: "look over the installation: what works, what does not, and what to do",
			more:  "It changes nothing. The exit status is 1 if something keeps containers from their devices.",
			examples: []example{
				{"gpu-hook doctor", "the installation for all users"},
				{"gpu-hook doctor --engine crio", "as CRI-O has it"},
			},
		},
	}
}

// installCommands returns the commands about the installation and the program itself.
func installCommands() []command {
	return []command{
		{
			name: "install", args: "[flags]", run: installFiles,
			about: "put the binary and its hook definition in place",
			more: "It prints each file that it has written or left as it was. The flags --config and --cdi-spec-dir of " +
				"this call are repeated in the hook definition.",
			examples: []example{
				{"gpu-hook install", "for all engines and users"},
				{"gpu-hook install --engine crio", "for CRI-O alone"},
				{"gpu-hook install --user", "for this user's rootless podman"},
			},
		},
		{
			name: "uninstall", args: "[flags]", run: uninstallFiles,
			about:    "remove what install with the same flags has put in place",
			more:     "Files that somebody has changed since stay where they are, and it says so.",
			examples: []example{{"gpu-hook uninstall --user", "what install --user has put in place"}},
		},
		{
			name: "completion", args: "bash | zsh | fish", run: completion, completes: shellArgument,
			about: "print the completion of this command line for a shell",
			more: "The shell then completes commands, flags, engines, error codes, the names of the host's devices and " +
				"the names and ids of containers.",
			examples: []example{
				{"source <(gpu-hook completion bash)", "for this shell alone; bash-completion is not needed"},
				{"gpu-hook completion bash > /etc/bash_completion.d/gpu-hook", "for all users of bash"},
				{`gpu-hook completion zsh > "${fpath[1]}/_gpu-hook"`, "for zsh"},
				{"gpu-hook completion fish > ~/.config/fish/completions/gpu-hook.fish", "for fish"},
			},
		},
		{
			name: "help", args: "[COMMAND | CODE | errors]", run: help, completes: topicArgument,
			about: "print this, a command's help, what an error code means and what to do, or all codes",
			examples: []example{
				{"gpu-hook help explain", "what a command does and its flags"},
				{"gpu-hook help E-NODE", "what an error code means and what to do about it"},
			},
		},
		{
			name: "version", args: "[--json]", run: version, about: "print the version, as --version does",
			examples: []example{
				{"gpu-hook version --json", "version, commit and its date, and the versions of Go and of the CDI library"},
			},
		},
	}
}

// stageCommands returns the commands that engines run.
func stageCommands() []command {
	return []command{
		{
			name: "createRuntime", args: "< STATE", run: createRuntime, stage: true,
			about: "serve the container whose state is on standard input (the hook)",
			more: "Engines run it at each container's start, as the hook definition that install writes tells them. " +
				"It prints nothing and ends with 0 if the container requests nothing.",
		},
		{
			name: "precreate", args: "< SPEC", run: precreate, stage: true,
			about: "serve the container whose spec is on standard input by editing that (podman's hook)",
			more:  "Podman runs it before a container is made, and reads the edited spec from its standard output.",
		},
	}
}
