package nvidia

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// Where NVIDIA's driver tells of its GPUs and capabilities.
const (
	gpusDir    = "/proc/driver/nvidia/gpus"
	capsDir    = "/proc/driver/nvidia/capabilities"
	minorsFile = "/proc/driver/nvidia-caps/mig-minors"

	devicesFile = "/proc/devices"
)

// Where the kernel and its modules tell of the driver, and of GPUs that it may not have.
const (
	driverVersion = "/sys/module/nvidia/version"
	modulesDir    = "/lib/modules"
	slotsDir      = "/sys/bus/pci/devices"
)

// facts is what hints depend on: what this host has of the driver and of the toolkit.
type facts struct {
	driver   bool           // the kernel driver is loaded, or that is not known
	module   bool           // it is installed for the running kernel, or that is not known
	slots    int            // GPUs of NVIDIA's on the PCI bus
	ctk      string         // how nvidia-ctk is called; "" if it is not installed
	modprobe string         // how nvidia-modprobe is called; "" if it is not installed
	gpus     map[int]string // bus ids of the GPUs that the driver has, by minor; nil if that is not known
	majors   map[string]int // numbers of the drivers of character devices
	caps     map[int]string // files of MIG capabilities, by minor; nil if that is not known
	exists   func(path string) bool
}

// look returns the facts of this host.
func (n Contract) look() facts {
	loaded, known := n.HasDriver()
	module, slots := true, 0
	if n.DriverVersionFile == driverVersion { // elsewhere the driver may be, too
		module, slots = hasModule(modulesDir), countSlots(slotsDir)
	}
	return facts{
		driver: loaded || !known, module: module, slots: slots,
		ctk: n.command("nvidia-ctk"), modprobe: n.command("nvidia-modprobe"),
		gpus: readGPUs(gpusDir), majors: readMajors(devicesFile), caps: readCapabilities(minorsFile), exists: exists,
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// command returns how the program is called in a shell: by its path if it is beside a hook outside of the usual
// directories. It is "" if the program is not installed.
func (n Contract) command(program string) string {
	usual := []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	beside := filepath.Join(filepath.Dir(n.Toolkit.Hook), program)
	if filepath.IsAbs(beside) && exists(beside) {
		for _, dir := range usual {
			if dir == filepath.Dir(beside) {
				return program
			}
		}
		return beside
	}
	for _, dir := range usual {
		if exists(filepath.Join(dir, program)) {
			return program
		}
	}
	return ""
}

// HasDriver implements [contract.Specs]. The driver of WSL and of old Jetsons has no module of this name.
func (n Contract) HasDriver() (loaded, known bool) {
	if exists(n.DriverVersionFile) {
		return true, true
	}
	if exists("/dev/dxg") || exists("/sys/module/nvgpu") || exists(filepath.Dir(gpusDir)) {
		return false, false
	}
	return false, true
}

// readGPUs returns the bus ids of GPUs, by minor, from the driver's directory of them; nil if it cannot be read.
func readGPUs(dir string) map[int]string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	out := map[int]string{}
	for _, e := range entries {
		if minor, err := strconv.Atoi(information(dir, e.Name())["Device Minor"]); err == nil {
			out[minor] = e.Name()
		}
	}
	return out
}

// readMajors returns the numbers of the drivers of character devices, from the kernel's list of them.
func readMajors(list string) map[string]int {
	data, _ := os.ReadFile(list)
	text, _, _ := strings.Cut(string(data), "Block devices:")
	out := map[string]int{}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 2 {
			out[fields[1]], _ = strconv.Atoi(fields[0])
		}
	}
	return out
}

// readCapabilities returns the files of MIG capabilities, by minor, from the driver's list of minors; nil if it cannot
// be read.
func readCapabilities(list string) map[int]string {
	file, err := os.Open(list)
	if err != nil {
		return nil
	}
	defer file.Close()
	out := map[int]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, number, _ := strings.Cut(lines.Text(), " ")
		minor, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		if gpu, rest, found := strings.Cut(name, "/"); found {
			out[minor] = path.Join(capsDir, gpu, "mig", rest)
		} else {
			out[minor] = path.Join(capsDir, "mig", name)
		}
	}
	return out
}

// Generate implements [contract.Specs].
func (n Contract) Generate(kind, dir string) string {
	name := "nvidia.yaml"
	if _, class, _ := strings.Cut(kind, "/"); class != "gpu" {
		if mode, _ := generatorMode(kind); mode == "" {
			return n.None.Generate(kind, dir) // nvidia-ctk would write a Spec of GPUs
		}
		name = "nvidia-" + class + ".yaml"
	}
	return n.look().generate(kind, path.Join(dir, name))
}

// Regenerate implements [contract.Specs].
func (n Contract) Regenerate(kind string, files ...string) string {
	mode, _ := generatorMode(kind)
	if len(files) != 1 || (mode == "" && kind != "nvidia.com/gpu") {
		return n.None.Regenerate(kind, files...)
	}
	return n.look().generate(kind, files[0])
}

// generate returns how a Spec of the kind is written to the file. Without a driver nothing can be generated.
func (f facts) generate(kind, file string) string {
	command := "nvidia-ctk"
	if f.ctk != "" {
		command = f.ctk
	}
	command += " cdi generate --output=" + file
	if mode, class := generatorMode(kind); mode != "" {
		command += " --mode=" + mode + " --class=" + class
	}
	if f.ctk == "" {
		command = "install the package " + packages.Toolkit().Any + ", then: " + command
	}
	if !f.driver {
		return f.load(" && " + command)
	}
	return command
}

// load returns the command that loads the driver and makes its nodes, and goes on with next. It is doctor where the
// driver is not installed: how that is done depends on the distribution.
func (f facts) load(next string) string {
	switch {
	case !f.module:
		return "gpu-hook doctor # the driver is not installed: this says how"
	case f.modprobe == "":
		return "modprobe nvidia && modprobe nvidia-uvm" + next
	}
	nodes := f.modprobe + " -c=255"
	for minor := range max(f.slots, 1) {
		nodes += fmt.Sprintf(" -c=%d", minor)
	}
	return nodes + " && " + f.modprobe + " -u -c=0" + next
}

// hasModule reports whether the directory of kernel modules has NVIDIA's for the running kernel, or cannot be read.
func hasModule(dir string) bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return true
	}
	data, err := os.ReadFile(filepath.Join(dir, unix.ByteSliceToString(name.Release[:]), "modules.dep"))
	return err != nil && !errors.Is(err, fs.ErrNotExist) || bytes.Contains(data, []byte("/nvidia.ko"))
}

// countSlots returns how many GPUs of NVIDIA's are in the directory of the PCI bus.
func countSlots(dir string) int {
	entries, _ := os.ReadDir(dir)
	count := 0
	for _, e := range entries {
		vendor, _ := os.ReadFile(filepath.Join(dir, e.Name(), "vendor"))
		class, _ := os.ReadFile(filepath.Join(dir, e.Name(), "class"))
		// 0x03 is a display controller.
		if strings.TrimSpace(string(vendor)) == "0x10de" && strings.HasPrefix(string(class), "0x03") {
			count++
		}
	}
	return count
}

// generatorMode returns the mode of nvidia-ctk that writes Specs of a kind that is not that of GPUs, and its class; ""
// for GPUs and for kinds that it does not know.
func generatorMode(kind string) (mode, class string) {
	switch _, class, _ := strings.Cut(kind, "/"); class {
	case "gds", "mofed", "gdrcopy", "nvswitch":
		return class, class
	case "imex-channel":
		return "imex", class
	}
	return "", ""
}

// MendNode implements [contract.Specs].
func (n Contract) MendNode(node contract.Node) (why, hint string) {
	why, hint = n.look().mendNode(node)
	if hint == "" {
		return n.None.MendNode(node)
	}
	return why, hint
}

// mendNode returns why a node of the driver is missing, or something else, and what to do; no hint for a node that is
// not the driver's.
func (f facts) mendNode(n contract.Node) (why, hint string) {
	mend := f.maker(n.Path)
	switch {
	case mend == "":
		return "", ""
	case n.Number != "":
		return f.mendNumber(n, mend)
	case !f.driver:
		return "the NVIDIA driver is not loaded", f.load("")
	case strings.HasSuffix(n.Found, " device"): // of another type
		return "", f.generate(n.Kind, n.Spec)
	case n.Found == "a directory":
		return "", "rmdir " + n.Path + " && " + mend
	case n.Found != "":
		return "", "rm " + n.Path + " && " + mend
	case path.Base(n.Path) == "nvidia-uvm" || path.Base(n.Path) == "nvidia-uvm-tools":
		return "module nvidia_uvm is not loaded",
			mend + " # before any nvidia-ctk cdi generate"
	case path.Base(path.Dir(n.Path)) == "nvidia-caps":
		return f.mendCapability(n, mend)
	case IsGPU("/dev/" + path.Base(n.Path)):
		return f.mendGPU(n, mend)
	}
	return "", mend
}

// mendNumber is mendNode for a node that has another number than in the Spec: the node is wrong if the number is not
// that of the loaded driver, and otherwise the Spec is.
func (f facts) mendNumber(n contract.Node, mend string) (why, hint string) {
	name := path.Base(n.Path)
	driver := map[bool]string{true: "nvidia-uvm", false: "nvidia-caps"}[strings.HasPrefix(name, "nvidia-uvm")]
	right := fmt.Sprintf("%d:", f.majors[driver])
	switch {
	case IsGPU("/dev/" + name):
		right = "195:" + strings.TrimPrefix(name, "nvidia")
	case name == "nvidiactl":
		right = "195:255"
	case name == "nvidia-modeset":
		right = "195:254"
	case f.majors[driver] == 0:
		return "", f.generate(n.Kind, n.Spec)
	}
	// Elsewhere, nvidia-modprobe makes no nodes.
	if path.Dir(n.Path) != "/dev" && path.Dir(n.Path) != "/dev/nvidia-caps" {
		return "", f.generate(n.Kind, n.Spec)
	}
	if strings.HasPrefix(n.Number, right) && (strings.HasSuffix(right, ":") || n.Number == right) {
		return "", f.generate(n.Kind, n.Spec)
	}
	return "the loaded driver has it as " + strings.TrimSuffix(right, ":"), "rm " + n.Path + " && " + mend
}

// mendGPU is mendNode for the node of a GPU that is not there.
func (f facts) mendGPU(n contract.Node, mend string) (why, hint string) {
	minor, _ := strconv.Atoi(strings.TrimPrefix(path.Base(n.Path), "nvidia"))
	switch _, found := f.gpus[minor]; {
	case f.gpus == nil || path.Dir(n.Path) != "/dev": // which the driver knows nothing about
		return "", mend + " # if the GPU is gone (nvidia-smi -L): " + f.generate(n.Kind, n.Spec)
	case !found:
		return fmt.Sprintf("the driver has no GPU of that number (it has %d)", len(f.gpus)),
			"ask for another GPU; dmesg says why it is gone (NVRM, Xid 79); removed for good: " + f.generate(n.Kind, n.Spec)
	}
	return "", mend
}

// mendCapability is mendNode for the node of a MIG capability that is not there.
func (f facts) mendCapability(n contract.Node, mend string) (why, hint string) {
	minor, _ := strconv.Atoi(strings.TrimPrefix(path.Base(n.Path), "nvidia-cap"))
	file := f.caps[minor]
	if f.caps == nil || file == "" || !f.exists(file) {
		return "the MIG instance that it belongs to does not exist",
			"make the MIG instances again (nvidia-smi mig), then: " + f.generate(n.Kind, n.Spec)
	}
	return "its MIG instance exists", mend
}

// maker returns the command that makes a node of the driver, or "" for a node that is not the driver's. A GPU's node is
// called nvidia0, and the driver's own node has the minor 255.
func (f facts) maker(node string) string {
	if f.modprobe == "" {
		return byHand(node)
	}
	name, flags := path.Base(node), ""
	switch {
	case name == "nvidia-uvm", name == "nvidia-uvm-tools":
		flags = "-u -c=0"
	case name == "nvidia-modeset":
		flags = "-m"
	case name == "nvidiactl":
		flags = "-c=255"
	case IsGPU("/dev/" + name):
		flags = "-c=" + strings.TrimPrefix(name, "nvidia")
	case path.Base(path.Dir(node)) == "nvidia-caps":
		minor, _ := strconv.Atoi(strings.TrimPrefix(name, "nvidia-cap"))
		flags = "-f " + f.caps[minor]
	default:
		return ""
	}
	return f.modprobe + " " + flags
}

// byHand is maker for a host without nvidia-modprobe.
func byHand(node string) string {
	name := path.Base(node)
	fixed := func(minor string) string { return "mknod -m 666 " + node + " c 195 " + minor }
	// The kernel chooses the number of these when it loads the driver.
	chosen := func(mode, driver, minor string) string {
		return fmt.Sprintf("mknod -m %s %s c $(awk '$2 == \"%s\" {print $1}' /proc/devices) %s", mode, node, driver, minor)
	}
	switch {
	case name == "nvidia-uvm":
		return "modprobe nvidia-uvm && " + chosen("666", "nvidia-uvm", "0")
	case name == "nvidia-uvm-tools":
		return "modprobe nvidia-uvm && " + chosen("666", "nvidia-uvm", "1")
	case name == "nvidia-modeset":
		return "modprobe nvidia-modeset && " + fixed("254")
	case name == "nvidiactl":
		return fixed("255")
	case IsGPU("/dev/" + name):
		return fixed(strings.TrimPrefix(name, "nvidia"))
	case path.Base(path.Dir(node)) == "nvidia-caps":
		return "mkdir -p " + path.Dir(node) + " && " + chosen("444", "nvidia-caps", strings.TrimPrefix(name, "nvidia-cap"))
	}
	return ""
}

// otherVersion returns the name of another version of the library that is in its directory, or "".
func otherVersion(file string) string {
	library, version, found := strings.Cut(path.Base(file), ".so.")
	if _, err := parseVersion(version); !found || err != nil {
		return ""
	}
	entries, _ := os.ReadDir(path.Dir(file))
	for _, e := range entries {
		other, is := strings.CutPrefix(e.Name(), library+".so.")
		_, err := parseVersion(other)
		if is && err == nil && strings.Contains(other, ".") && other != version {
			return e.Name()
		}
	}
	return ""
}

// MendFiles implements [contract.Specs]. If another version of a library is in the place of a missing one, the driver
// was updated and the old one is still loaded. Without libcuda or libnvidia-ml, a new Spec would do without them too.
func (n Contract) MendFiles(missing []string, kind, file string) (why, hint string) {
	again := n.Regenerate(kind, file)
	if loaded, known := n.HasDriver(); known && !loaded {
		return "", again
	}
	for _, name := range missing {
		if other := otherVersion(name); other != "" {
			return other + " is there: the driver was updated, the old one is loaded", "systemctl reboot # then: " + again
		}
	}
	for _, name := range missing {
		library, _, found := strings.Cut(path.Base(name), ".so.")
		if found && (library == "libcuda" || library == "libnvidia-ml") {
			return "", "gpu-hook doctor # " + library + " is of the driver's package: this says how it is installed"
		}
	}
	return "", again
}

// Unknown implements [contract.Dialect]. Of a UUID that no Spec has it says which GPU has it, and of an index that the
// host has that the Spec should name it.
func (n Contract) Unknown(unsafeDevice string) (why, hint string) {
	return unknown(unsafeDevice, gpusDir)
}

// unknown returns why no Spec has the device, by the driver's directory of GPUs, and what to do; or "". In what to do,
// FILE stands for the Spec.
func unknown(unsafeDevice, dir string) (why, hint string) {
	entries, err := os.ReadDir(dir)
	uuid := strings.HasPrefix(unsafeDevice, "GPU-")
	if _, invalid := strconv.ParseUint(unsafeDevice, 10, 16); err != nil || (invalid != nil && !uuid) {
		return "", ""
	}
	const generate = "nvidia-ctk cdi generate --device-name-strategy=index --device-name-strategy=uuid --output=FILE"
	for index, e := range entries { // sorted by bus id, as NVIDIA's indices are
		id := information(dir, e.Name())["GPU UUID"]
		switch {
		case uuid && id == unsafeDevice:
			return fmt.Sprintf("that GPU has the index %d here", index), fmt.Sprintf("%s # or ask for %d", generate, index)
		case id != "" && unsafeDevice == strconv.Itoa(index):
			return fmt.Sprintf("this host has that GPU (%s), and the Spec no such name for it", id), generate
		}
	}
	if !uuid {
		return "", ""
	}
	return "no GPU of this host has that UUID", "ask for one of those that nvidia-smi -L lists"
}

// information returns what the driver says of a GPU.
func information(dir, bus string) map[string]string {
	data, _ := os.ReadFile(filepath.Join(dir, bus, "information"))
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		out[key] = strings.TrimSpace(value)
	}
	return out
}

// MendProgram implements [contract.Specs].
func (n Contract) MendProgram(program, kind, file string) string {
	switch path.Base(program) {
	case "nvidia-ctk", "nvidia-cdi-hook":
	default:
		return n.None.MendProgram(program, kind, file)
	}
	if elsewhere := n.command(path.Base(program)); elsewhere != "" && elsewhere != program {
		return n.Regenerate(kind, file)
	}
	return "install the package " + packages.Toolkit().Any + ", or name the program's place in " + file
}
