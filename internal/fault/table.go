package fault

// Kind tells what to do about an error or a warning. It is the same for every error of one code.
type Kind int

// Kinds.
const (
	// Broken is something that is on this host and of no use. Policy decides whether the next driver may be tried.
	Broken Kind = iota
	// Unavailable is something that this host does not have. The next driver is tried.
	Unavailable
	// Mistake is an error of the user's, or a decision of the administrator's against the request. It stops the start, and
	// no other driver is tried.
	Mistake
	// Note is a warning: the container starts.
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

// Entry is what there is to know about a code. Meaning and Fix are sentences for an operator.
type Entry struct {
	Code    Code
	Kind    Kind
	Meaning string
	Fix     string
}

// Table returns every code once: first the errors, then the warnings. docs/errors.md and "gpu-hook help CODE" are made
// from it.
func Table() []Entry { return append(errorTable(), warningTable()...) }

// Lookup returns the entry of a code.
func Lookup(code Code) (Entry, bool) {
	for _, e := range Table() {
		if e.Code == code {
			return e, true
		}
	}
	return Entry{}, false
}

func errorTable() []Entry {
	return []Entry{
		{
			Request, Mistake,
			"The request makes no sense: its syntax is wrong, or it names a driver, capability or number of devices that cannot be.",
			"Correct the annotation, variable or flag that the line names. docs/requests.md describes the syntax.",
		},
		{
			Policy, Mistake,
			"The configuration of this host does not allow the request.",
			"Ask in a way that the host allows, or have its administrator change /etc/gpu-hook/config.toml.",
		},
		{
			Conflict, Mistake,
			"Two requests contradict each other, or another hook in config.json would serve a different request.",
			"Remove one of the two, or ask for the same devices in both.",
		},
		{
			Require, Mistake,
			"The image requires a GPU driver or CUDA version (NVIDIA_REQUIRE_*) that this host does not have.",
			"Install a newer driver or use an older image. NVIDIA_DISABLE_REQUIRE=1 starts the container all the same.",
		},
		{
			LateEdit, Broken,
			"The CDI Spec has edits that a createRuntime hook cannot make, and on-late under [cdi] is \"error\".",
			"Set the variables or groups on the container itself (--env, --group-add), or set on-late to \"warn\".",
		},
		{
			NoSpec, Unavailable,
			"No CDI Spec on this host defines the kind of device that was asked for.",
			"Generate a Spec with the vendor's tool, for NVIDIA: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml.",
		},
		{
			Name, Unavailable,
			"CDI Specs define this kind of device, but no device of this name.",
			"Ask for one of the names that gpu-hook devices lists, or generate the Spec again if the host's devices changed.",
		},
		{
			Parse, Broken,
			"A CDI Spec cannot be read: it is not valid JSON or YAML, or not what the CDI specification describes.",
			"Generate the Spec again with the vendor's tool, or remove the file.",
		},
		{
			Trust, Broken,
			"A file that gpu-hook would act on as root can be written by somebody else.",
			"Make root the owner of the file and of every directory above it, and let nobody else write there.",
		},
		{
			Node, Broken,
			"A device node of the CDI Spec cannot be given: it is missing on the host, or it could not be made in the container.",
			"Load the driver. If the host's devices changed, generate the CDI Spec again. In the container, nothing of the image " +
				"may be in the node's place.",
		},
		{
			Mount, Broken,
			"A mount of the CDI Spec cannot be made: the host file is missing, or something in the container is in its way.",
			"Install the driver's libraries, or generate the CDI Spec again. No volume may be mounted on the driver's paths.",
		},
		{
			Stale, Broken,
			"The CDI Spec was written for another driver than the host runs, or host files that it needs are missing.",
			"Generate the Spec again. If the driver was updated and not loaded since, restart the host.",
		},
		{
			Major, Broken,
			"A device node has other numbers on this host than the CDI Spec states.",
			"Generate the CDI Spec again.",
		},
		{
			Cgroup, Broken,
			"The container's device rules could not be extended, so that it could not open its devices.",
			"Run the runtime as root with all capabilities. The cgroups above the container must allow the devices too.",
		},
		{
			Hook, Broken,
			"A hook of the CDI Spec failed, or its program is not there or not trusted.",
			"Run the hook by hand with the state on its standard input, or correct the CDI Spec.",
		},
		{
			NetDev, Unavailable,
			"A network device of the CDI Spec cannot be moved into the container.",
			"See that the device exists on the host, is free, and that the container has a network namespace of its own.",
		},
		{
			Kernel, Unavailable,
			"This kernel lacks a system call that the plan needs.",
			"Use Linux 5.12 or newer.",
		},
		{
			Delegate, Unavailable,
			"The vendor's own runtime hook is not installed, cannot serve the request, or failed.",
			"Install the vendor's container toolkit, or have CDI serve the request: nvidia-ctk cdi generate.",
		},
		{
			State, Broken,
			"The state that the runtime handed over cannot be read, or does not match the container that is being created.",
			"Let podman, CRI-O or an OCI runtime call gpu-hook, and start the container again.",
		},
		{
			Bundle, Broken,
			"The container's bundle, its config.json or its root filesystem cannot be read.",
			"See that the path exists and that gpu-hook may read it. Start the container again.",
		},
		{
			Config, Broken,
			"gpu-hook's configuration, or that of a delegate, has a mistake or cannot be read.",
			"Correct the keys that the line names. docs/configuration.md lists them.",
		},
		{
			Record, Broken,
			"The record of an earlier start cannot be read, or there is none.",
			"Run gpu-hook last as root, or as the user whose containers they are.",
		},
		{
			Install, Broken,
			"gpu-hook could not be installed or removed.",
			"Run the command as root, and see that the directories that it names exist and can be written.",
		},
		{
			Timeout, Broken,
			"The time for one start, timeout under [limits], is over. Often a file server of the host does not answer.",
			"gpu-hook last --json shows which phase took long. Fix what hangs, or raise timeout under [limits].",
		},
		{
			Ended, Broken,
			"gpu-hook was told to end before it was done.",
			"Start the container again.",
		},
		{
			Internal, Broken,
			"This should not happen: it is a defect of gpu-hook.",
			"Report it with the line.",
		},
	}
}

func warningTable() []Entry {
	return []Entry{
		{
			Overridden, Note,
			"A request lost to one with higher precedence that asks for something else.",
			"Remove one of the two requests. docs/precedence.md has the order.",
		},
		{
			Fallback, Note,
			"A driver that stands first could not serve the request, and another one does.",
			"Fix what the line names, if the first driver is the one that you want.",
		},
		{
			Late, Note,
			"Edits of the CDI Spec are left out, because a createRuntime hook cannot make them.",
			"Set them on the container itself (--env, --group-add), or register gpu-hook for podman's precreate too.",
		},
		{
			Duplicate, Note,
			"A device was asked for twice, or the engine has put it into config.json already. It is given once.",
			"Ask for the device in one way only.",
		},
		{
			Weak, Note,
			"An image wished for devices that nobody asked for explicitly, and they cannot be given. The container starts without.",
			"If the program needs a GPU, ask for it explicitly to learn what is wrong, for example with gpu-hook/gpus=all.",
		},
		{
			Refused, Note,
			"A request does not count by the rules of this host, and was left out.",
			"Ask in a way that counts (gpu-hook devices lists them), or have the administrator change the configuration.",
		},
		{
			CgroupNote, Note,
			"The container's device rules may not hold: they cannot be set, or something may take them away later.",
			"If a device cannot be opened, follow the hint of the line.",
		},
		{
			OtherHook, Note,
			"NVIDIA's own hook runs for this container too, by its own rules.",
			"Remove its definition from the hooks directories, or set NVIDIA_VISIBLE_DEVICES=void.",
		},
		{
			RequireNote, Note,
			"It is not known whether the host meets what the image requires, or it does not and the configuration only warns.",
			"If the program fails, see the image's documentation for the driver that it needs.",
		},
		{
			ConfigNote, Note,
			"gpu-hook's configuration cannot be used. The container asked for nothing, and starts.",
			"Correct the file before a container asks for a device.",
		},
		{
			SpecNote, Note,
			"A CDI Spec was left out, or a part of it was not understood.",
			"Correct or remove the file, or generate it again.",
		},
		{
			RecordNote, Note,
			"The record of this start could not be written, or only in part.",
			"Make the directory for records one that root alone may write.",
		},
		{
			NoNode, Note,
			"The delegate ended well, but made no new device node.",
			"Look at the delegate's own log.",
		},
		{
			Skipped, Note,
			"An optional edit, capability or option was left out, because it cannot be made or is not known.",
			"Nothing, if the program does without it. optional under [cdi] lists what may be left out.",
		},
		{
			StaleNote, Note,
			"A CDI Spec does not fit the host's driver, and was used all the same, because on-stale is \"warn\".",
			"Generate the Spec again.",
		},
		{
			Leftover, Note,
			"A program that failed ran in the container, and what it did there cannot be undone.",
			"Look there before you start the container again.",
		},
		{
			PlanNote, Note,
			"The container carries the annotation gpu-hook/plan of an earlier version. It is ignored.",
			"Remove the annotation.",
		},
		{
			NoStage, Note,
			"gpu-hook runs at podman's precreate stage alone, which gives no device.",
			"Run gpu-hook install. gpu-hook doctor says where podman looks for hooks.",
		},
		{
			EngineNote, Note,
			"It is not certain which engine runs the container, so that only what counts for every engine counts.",
			"Name the engine in the hook's definition (gpu-hook install --engine), or remove the annotation that contradicts it.",
		},
		{
			BundleNote, Note,
			"The container's config.json cannot be read, so that it is not known whether it asks for anything. It starts.",
			"Start the container again if it needs a device.",
		},
	}
}
