package fault

// Kind tells what to do about an error or a warning. All errors of one code have the same kind. The zero value is not a
// kind, so that a code without an entry is not taken for one of some kind.
type Kind int

// Kinds.
const (
	// Broken means that this host has what is needed, but it cannot be used. on-fallback in the configuration decides
	// whether the next driver is tried.
	Broken Kind = iota + 1
	// Unavailable means that this host does not have what is needed. The next driver is tried.
	Unavailable
	// Mistake means that the user made a mistake, or that the administrator's configuration forbids the request. The
	// container does not start, and no other driver is tried.
	Mistake
	// Note is the kind of warnings: the container starts.
	Note
)

// String returns the kind in one word, as docs/errors.md has it.
func (k Kind) String() string {
	switch k {
	case Broken:
		return "broken"
	case Unavailable:
		return "unavailable"
	case Mistake:
		return "mistake"
	case Note:
		return "warning"
	}
	return "unknown"
}

// Entry is what there is to know about a code. Meaning and Fix are sentences for an operator. Example is the message of
// one such error as a test has seen it, or "" if no test has a whole one.
type Entry struct {
	Code    Code
	Kind    Kind
	Meaning string
	Fix     string
	Example string
}

// Line returns the example as gpu-hook prints it, or "".
func (e Entry) Line() string {
	if e.Example == "" {
		return ""
	}
	return "gpu-hook: " + string(e.Code) + ": " + e.Example
}

// Lookup returns the entry of a code, and whether it is one of gpu-hook's codes.
func Lookup(code Code) (Entry, bool) {
	e := errorEntry(code)
	if e.Kind == 0 {
		e = warningEntry(code)
	}
	e.Code = code
	return e, e.Kind != 0
}

// Table returns the entry of every code once: first those of errors, then those of warnings. docs/errors.md and
// "gpu-hook help CODE" are made from it.
func Table() []Entry {
	var out []Entry
	for _, code := range codes() {
		e, _ := Lookup(code)
		out = append(out, e)
	}
	return out
}

// codes lists every code in the order of the constants.
func codes() []Code {
	return []Code{
		Request, Policy, Conflict, Require, LateEdit, NoSpec, Name, Parse, Trust, Node, Mount,
		Stale, Major, Cgroup, Hook, NetDev, Kernel, Delegate, State, Bundle, Config, Record,
		Install, Timeout, Ended, Internal,
		Overridden, Fallback, Late, Duplicate, Weak, Refused, CgroupNote, OtherHook, RequireNote,
		ConfigNote, SpecNote, RecordNote, NoNode, Skipped, StaleNote, Leftover, PlanNote, NoStage,
		EngineNote, BundleNote, TimeoutNote,
	}
}

// errorEntry returns the entry of an error's code, or the zero Entry.
func errorEntry(code Code) Entry {
	switch code {
	case Request:
		return Entry{
			Kind: Mistake,
			Meaning: "The request is invalid: its syntax is wrong, or it names a driver, capability or number of " +
				"devices that cannot be.",
			Fix:     "Correct the annotation, variable or flag that the line names. docs/requests.md describes the syntax.",
			Example: `--gpus count=2,device=0: it has both a count and device ids`,
		}
	case Policy:
		return Entry{
			Kind:    Mistake,
			Meaning: "The configuration of this host does not allow the request.",
			Fix:     "Ask in a way that the host allows, or have its administrator change /etc/gpu-hook/config.toml.",
			Example: `NVIDIA_VISIBLE_DEVICES=0: [requests] sources does not list "env"`,
		}
	case Conflict:
		return Entry{
			Kind: Mistake,
			Meaning: "Two requests contradict each other, or another hook in config.json would serve a different " +
				"request.",
			Fix:     "Remove one of the two, or ask for the same devices in both.",
			Example: `NVIDIA_VISIBLE_DEVICES=1: the engine was asked for /dev/nvidia0, and stands higher`,
		}
	case Require:
		return Entry{
			Kind:    Mistake,
			Meaning: "The image requires a GPU driver or CUDA version (NVIDIA_REQUIRE_*) that this host does not have.",
			Fix: "Install a newer driver or use an older image. NVIDIA_DISABLE_REQUIRE=1 starts the container all " +
				"the same.",
			Example: `image: NVIDIA_REQUIRE_CUDA: clause "nonsense" has no operator`,
		}
	case LateEdit:
		return Entry{
			Kind: Broken,
			Meaning: "The CDI Spec has edits that a createRuntime hook cannot make, and on-late under [cdi] is " +
				"\"error\".",
			Fix: "Set the variables or groups on the container itself (--env, --group-add), or set on-late to " +
				"\"warn\".",
			Example: `edits of the CDI Spec: a createRuntime hook cannot make these: variable A=b`,
		}
	case NoSpec:
		return Entry{
			Kind:    Unavailable,
			Meaning: "No CDI Spec on this host defines the kind of device that was asked for.",
			Fix: "If the kind is misspelt, ask for one that gpu-hook devices lists. Else load the driver, and generate a Spec " +
				"with the vendor's tool, for NVIDIA: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml.",
			Example: `gpu-hook/gpus=all: nvidia.com/gpu=all: no CDI Spec defines kind ` +
				`nvidia.com/gpu (looked in /var/run/cdi: 0 files)`,
		}
	case Name:
		return Entry{
			Kind:    Unavailable,
			Meaning: "CDI Specs define this kind of device, but no device of this name.",
			Fix: "Ask for one of the names that gpu-hook devices lists, or generate the Spec again if the host's " +
				"devices changed.",
			Example: `cdi.k8s.io/mine=nvidia.com/gpu=0: both /var/run/cdi/again.yaml ` +
				`and nvidia.yaml define it`,
		}
	case Parse:
		return Entry{
			Kind: Broken,
			Meaning: "A CDI Spec cannot be read: it is not valid JSON or YAML, or not what the CDI specification " +
				"describes.",
			Fix: "Generate the Spec again with the vendor's tool, or remove the file.",
			Example: `cdi.k8s.io/mine=nvidia.com/gpu=all: CDI Spec rejected: ` +
				`/var/run/cdi/nvidia.yaml: yaml: line 1: did not find expected ',' or ']'`,
		}
	case Trust:
		return Entry{
			Kind:    Broken,
			Meaning: "A file that gpu-hook would act on as root can be written by somebody else.",
			Fix: "Find out who could change the file, and what it says now. Then put it there again, as root's, in " +
				"directories " +
				"that nobody else may write.",
			Example: `gpu-hook/gpus=driver=nvidia.cdi,device=0: CDI Spec ` +
				`rejected: /var/run/cdi/nvidia.yaml: not trusted: it is writable ` +
				`by group or others (mode 0666)`,
		}
	case Node:
		return Entry{
			Kind: Broken,
			Meaning: "A device node of the CDI Spec cannot be given: it is missing on the host, or it could not be " +
				"made in the container.",
			Fix: "Load the driver, and make the node: nvidia-modprobe -u -c=0 for /dev/nvidia-uvm. Only if a device is gone, " +
				"generate the CDI Spec again. In the container, nothing of the image may be in the node's place.",
			Example: `cdi.k8s.io/mine=nvidia.com/gpu=0: /dev/nvidia0: missing on this host`,
		}
	case Mount:
		return Entry{
			Kind: Broken,
			Meaning: "A mount of the CDI Spec cannot be made: the host file is missing, or something in the " +
				"container is in its way.",
			Fix: "Install the driver's libraries, or generate the CDI Spec again. No volume may be mounted on the " +
				"driver's paths.",
			Example: `mount on /bin/sh: cannot mount a directory on a file, or a file on a directory`,
		}
	case Stale:
		return Entry{
			Kind: Broken,
			Meaning: "The CDI Spec was written for another driver than the host runs, or host files that it needs " +
				"are missing.",
			Fix: "Generate the Spec again. If the driver was updated and not loaded since, restart the host.",
			Example: `cdi.k8s.io/mine=nvidia.com/gpu=0: /var/run/cdi/nvidia.yaml: written for ` +
				`driver 580.65.06, the host runs 590.48.01`,
		}
	case Major:
		return Entry{
			Kind:    Broken,
			Meaning: "A device node has other numbers on this host than the CDI Spec states.",
			Fix:     "Generate the CDI Spec again.",
			Example: `cdi.k8s.io/mine=nvidia.com/gpu=0: /dev/nvidia0: the Spec has it as ` +
				`195:0, on this host it is 1:11`,
		}
	case Cgroup:
		return Entry{
			Kind:    Broken,
			Meaning: "The container's device rules could not be extended, so that it could not open its devices.",
			Fix: "Run the runtime as root with all capabilities. The cgroups above the container must allow the " +
				"devices too.",
		}
	case Hook:
		return Entry{
			Kind:    Broken,
			Meaning: "A hook of the CDI Spec failed, or its program is not there or not trusted.",
			Fix: "Install the program that is missing. If it fails, run it by hand with the state on its standard input, or " +
				"correct the CDI Spec.",
			Example: `--gpus driver=nvidia,device=0: createContainer hook of the CDI Spec: ` +
				`/usr/bin/nvidia-cdi-hook: it is not installed`,
		}
	case NetDev:
		return Entry{
			Kind:    Unavailable,
			Meaning: "A network device of the CDI Spec cannot be moved into the container.",
			Fix: "See that the device exists on the host, is free, and that the container has a network namespace of " +
				"its own.",
			Example: `gpu-hook/gpus=driver=nvidia.cdi,device=0: no driver can serve it: nvidia.cdi: ` +
				`network device rdma7: it is neither on this host nor, as eth0, in the container; a virtual device ` +
				`(veth, macvlan) is lost with the container that had it`,
		}
	case Kernel:
		return Entry{
			Kind:    Unavailable,
			Meaning: "This kernel lacks a system call that the plan needs.",
			Fix:     "Use Linux 5.12 or newer.",
		}
	case Delegate:
		return Entry{
			Kind:    Unavailable,
			Meaning: "The vendor's own runtime hook is not installed, cannot serve the request, or failed.",
			Fix:     "Install the vendor's container toolkit, or let a CDI Spec serve the request.",
			Example: `gpu-hook/gpus=driver=nvidia.runtime-hook,all: ` +
				`/usr/bin/nvidia-container-runtime-hook: it is not installed`,
		}
	case State:
		return Entry{
			Kind: Broken,
			Meaning: "The state that the runtime handed over cannot be read, or does not match the container that is " +
				"being created.",
			Fix: "Let podman, CRI-O or an OCI runtime call gpu-hook, and start the container again.",
			Example: "/run/bundle/config.json: the container has no mount namespace of its own: " +
				"every edit would land on the host",
		}
	case Bundle:
		return Entry{
			Kind:    Broken,
			Meaning: "The container's bundle, its config.json or its root filesystem cannot be read.",
			Fix:     "See that the path exists and that gpu-hook may read it. Start the container again.",
			Example: `/nowhere/config.json: it does not exist`,
		}
	case Config:
		return Entry{
			Kind:    Broken,
			Meaning: "gpu-hook's configuration, or that of a delegate, has a mistake or cannot be read.",
			Fix:     "Correct the keys that the line names. docs/configuration.md lists them.",
			Example: `/etc/gpu-hook/config.toml: line 15: key "requests.source" is not known; did you mean "sources"?`,
		}
	case Record:
		return Entry{
			Kind:    Broken,
			Meaning: "The record of an earlier start cannot be read, or there is none.",
			Fix:     "Run gpu-hook last as root, or as the user whose containers they are.",
			Example: `/run/gpu-hook/records: there are no records`,
		}
	case Install:
		return Entry{
			Kind:    Broken,
			Meaning: "gpu-hook could not be installed or removed.",
			Fix:     "Run the command as root, and see that the directories that it names exist and can be written.",
		}
	case Timeout:
		return Entry{
			Kind: Broken,
			Meaning: "The time for one start, timeout under [limits], is over. Often a file server of the host does " +
				"not answer.",
			Fix: "The message names the files for which gpu-hook waited. Fix the server or device that they are on, or raise " +
				"timeout under [limits].",
			Example: `plan for the container: it was not made within 1s: /mnt/nfs/lib/libcuda.so does not answer`,
		}
	case Ended:
		return Entry{
			Kind:    Broken,
			Meaning: "gpu-hook was told to end before it was done.",
			Fix:     "Start the container again.",
		}
	case Internal:
		return Entry{
			Kind:    Broken,
			Meaning: "This should not happen: it is a defect of gpu-hook.",
			Fix:     "Report it with the line.",
		}
	default:
		return Entry{}
	}
}

// warningEntry returns the entry of a warning's code, or the zero Entry.
func warningEntry(code Code) Entry {
	switch code {
	case Overridden:
		return Entry{
			Kind:    Note,
			Meaning: "A request lost to one with higher precedence that asks for something else.",
			Fix:     "Remove one of the two requests. docs/precedence.md has the order.",
			Example: `NVIDIA_VISIBLE_DEVICES=all: overridden by mount 1, which stands higher`,
		}
	case Fallback:
		return Entry{
			Kind:    Note,
			Meaning: "The first driver could not serve the request, and another one does.",
			Fix:     "Fix what the line names, if the first driver is the one that you want.",
			Example: `gpu-hook/gpus=driver=nvidia,all: nvidia.runtime-hook serves it, because ` +
				`nvidia.cdi: nvidia.com/gpu=all: no CDI Spec defines kind nvidia.com/gpu (looked in ` +
				`/var/run/cdi: 0 files)`,
		}
	case Late:
		return Entry{
			Kind:    Note,
			Meaning: "Edits of the CDI Spec are left out, because a createRuntime hook cannot make them.",
			Fix: "Set them on the container itself (--env, --group-add), or register gpu-hook for podman's precreate " +
				"too.",
			Example: `edits of the CDI Spec: a createRuntime hook cannot make these: mode and owner of /dev/nvidia0`,
		}
	case Duplicate:
		return Entry{
			Kind: Note,
			Meaning: "A device was asked for twice, or the engine has put it into config.json already. It is given " +
				"once.",
			Fix: "Ask for the device in one way only.",
			Example: `nvidia.com/gpu=GPU-00000000-1111-2222-3333-444455556666: it is another name of ` +
				`nvidia.com/gpu=0; the device is given once`,
		}
	case Weak:
		return Entry{
			Kind: Note,
			Meaning: "An image wished for devices that nobody asked for explicitly, and they cannot be given. The " +
				"container starts without.",
			Fix: "If the program needs a GPU, ask for it explicitly to learn what is wrong, for example with " +
				"gpu-hook/gpus=all.",
			Example: `NVIDIA_VISIBLE_DEVICES=all: the container starts without: nvidia.com/gpu=all: ` +
				`no CDI Spec defines kind nvidia.com/gpu (looked in /var/run/cdi: 0 files)`,
		}
	case Refused:
		return Entry{
			Kind:    Note,
			Meaning: "A request does not count by the rules of this host, and was left out.",
			Fix: "Ask in a way that counts (gpu-hook devices lists them), or have the administrator change the " +
				"configuration.",
			Example: `CUDA_VERSION=9.0: [requests] env-all is "ignore"`,
		}
	case CgroupNote:
		return Entry{
			Kind: Note,
			Meaning: "The container's device rules may not hold: they cannot be set, or something may take them away " +
				"later.",
			Fix: "If a device cannot be opened, follow the hint of the line.",
		}
	case OtherHook:
		return Entry{
			Kind:    Note,
			Meaning: "NVIDIA's own hook runs for this container too, by its own rules.",
			Fix:     "Remove its definition from the hooks directories, or set NVIDIA_VISIBLE_DEVICES=void.",
			Example: `NVIDIA_VISIBLE_DEVICES=0: left to /usr/bin/nvidia-container-runtime-hook, which ` +
				`config.json runs too (prestart)`,
		}
	case RequireNote:
		return Entry{
			Kind: Note,
			Meaning: "It is not known whether the host meets what the image requires, or it does not and the " +
				"configuration only warns.",
			Fix: "If the program fails, see the image's documentation for the driver that it needs.",
			Example: `NVIDIA_REQUIRE_ARCH=arch>=8.0: whether the host meets arch>=8.0 is not known here ` +
				`(driver 580.65.06, CUDA 13.0)`,
		}
	case ConfigNote:
		return Entry{
			Kind:    Note,
			Meaning: "gpu-hook's configuration cannot be used. The container asked for nothing, and starts.",
			Fix:     "Correct the file before a container asks for a device.",
		}
	case SpecNote:
		return Entry{
			Kind:    Note,
			Meaning: "A CDI Spec was left out, or a part of it was not understood.",
			Fix:     "Correct or remove the file, or generate it again.",
			Example: `CDI Spec left out: /var/run/cdi/nvidia.yaml: yaml: line 1: did not find expected node content`,
		}
	case RecordNote:
		return Entry{
			Kind:    Note,
			Meaning: "The record of this start could not be written, or only in part.",
			Fix:     "Make the directory for records one that root alone may write.",
		}
	case NoNode:
		return Entry{
			Kind:    Note,
			Meaning: "The delegate succeeded, but made no new device node.",
			Fix:     "Look at the delegate's own log.",
		}
	case Skipped:
		return Entry{
			Kind:    Note,
			Meaning: "An optional edit, capability or option was left out, because it cannot be made or is not known.",
			Fix:     "Nothing, if the program does without it. optional under [cdi] lists what may be left out.",
			Example: `--gpus 'driver=nvidia,"capabilities=video,magic"': driver "nvidia" has no capability magic, ` +
				`which is left out`,
		}
	case StaleNote:
		return Entry{
			Kind: Note,
			Meaning: "A CDI Spec does not fit the host, and was used all the same: it was written for another driver, and " +
				"on-stale is \"warn\"; or it lacks something that the host has, such as /dev/nvidia-uvm; or the GPU of " +
				"a node has fallen off the bus.",
			Fix:     "Do what the line says. on-incomplete under [cdi] is for a Spec that leaves something out on purpose.",
			Example: `/var/run/cdi/nvidia.yaml: written for driver 580.65.06, the host runs 590.48.01`,
		}
	case Leftover:
		return Entry{
			Kind:    Note,
			Meaning: "A program that failed ran in the container, and what it did there cannot be undone.",
			Fix:     "Look there before you start the container again.",
		}
	case PlanNote:
		return Entry{
			Kind:    Note,
			Meaning: "The container carries the annotation gpu-hook/plan of an earlier version. It is ignored.",
			Fix:     "Remove the annotation.",
		}
	case NoStage:
		return Entry{
			Kind:    Note,
			Meaning: "gpu-hook runs at podman's precreate stage alone, which gives no device.",
			Fix:     "Run gpu-hook install. gpu-hook doctor says where podman looks for hooks.",
		}
	case EngineNote:
		return Entry{
			Kind: Note,
			Meaning: "It is not certain which engine runs the container, so that only what counts for every engine " +
				"counts.",
			Fix: "Name the engine in the hook's definition (gpu-hook install --engine), or remove the annotation " +
				"that contradicts it.",
			Example: `engine of the container: annotation io.container.manager says cri-o, and the container is ` +
				`podman's; the strictest policy holds`,
		}
	case BundleNote:
		return Entry{
			Kind: Note,
			Meaning: "The container's config.json cannot be read, so that it is not known whether it asks for " +
				"anything. It starts.",
			Fix: "Start the container again if it needs a device.",
		}
	case TimeoutNote:
		return Entry{
			Kind: Note,
			Meaning: "The time for one start, timeout under [limits], was over before gpu-hook knew its configuration and " +
				"what the host has. The container asked for nothing, and starts.",
			Fix: "See which file server or device does not answer: the message names what gpu-hook waited for.",
		}
	default:
		return Entry{}
	}
}
