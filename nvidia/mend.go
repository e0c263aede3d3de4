package nvidia

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
)

// toolkitPackage is the package that nvidia-ctk and nvidia-cdi-hook come with.
const toolkitPackage = "nvidia-container-toolkit"

// Where NVIDIA's driver tells of its GPUs and capabilities.
const (
	gpusDir    = "/proc/driver/nvidia/gpus"
	capsDir    = "/proc/driver/nvidia/capabilities"
	minorsFile = "/proc/driver/nvidia-caps/mig-minors"
)

// facts is what hints depend on: what this host has of the driver and of the toolkit.
type facts struct {
	driver   bool           // the kernel driver is loaded, or that is not known
	ctk      string         // how nvidia-ctk is called; "" if it is not installed
	modprobe string         // how nvidia-modprobe is called; "" if it is not installed
	gpus     map[int]string // bus ids of the GPUs that the driver has, by minor; nil if that is not known
	caps     map[int]string // files of MIG capabilities, by minor; nil if that is not known
	exists   func(path string) bool
}

// look returns the facts of this host.
func (n Contract) look() facts {
	loaded, known := n.HasDriver()
	return facts{
		driver: loaded || !known, ctk: n.command("nvidia-ctk"), modprobe: n.command("nvidia-modprobe"),
		gpus: readGPUs(gpusDir), caps: readCapabilities(minorsFile), exists: exists,
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
		command = "install the package " + toolkitPackage + ", then: " + command
	}
	if !f.driver {
		return loadDriver + "; then: " + command
	}
	return command
}

const loadDriver = "modprobe nvidia (or install the driver first)"

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
	case !f.driver:
		return "the NVIDIA driver is not loaded", loadDriver
	case strings.HasSuffix(n.Found, " device"): // of another type
		return "", f.generate(n.Kind, n.Spec)
	case n.Found == "a directory":
		return "", "rmdir " + n.Path + " && " + mend
	case n.Found != "":
		return "", "rm " + n.Path + " && " + mend
	case path.Base(n.Path) == "nvidia-uvm" || path.Base(n.Path) == "nvidia-uvm-tools":
		return "module nvidia_uvm is not loaded",
			mend + " (do not generate the Spec before: it would lack the node)"
	case path.Base(path.Dir(n.Path)) == "nvidia-caps":
		return f.mendCapability(n, mend)
	case IsGPU("/dev/" + path.Base(n.Path)):
		return f.mendGPU(n, mend)
	}
	return "", mend
}

// mendGPU is mendNode for the node of a GPU that is not there.
func (f facts) mendGPU(n contract.Node, mend string) (why, hint string) {
	minor, _ := strconv.Atoi(strings.TrimPrefix(path.Base(n.Path), "nvidia"))
	switch _, found := f.gpus[minor]; {
	case f.gpus == nil || path.Dir(n.Path) != "/dev": // which the driver knows nothing about
		return "", mend + "; if the GPU is gone (nvidia-smi -L): " + f.generate(n.Kind, n.Spec)
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
	if f.modprobe == "" {
		return "install nvidia-modprobe, then: nvidia-modprobe " + flags
	}
	return f.modprobe + " " + flags
}

// Unknown implements [contract.Dialect]. Of a UUID that no Spec has it says which GPU has it.
func (n Contract) Unknown(unsafeDevice string) (why, hint string) {
	return unknownUUID(unsafeDevice, gpusDir)
}

// unknownUUID returns why no Spec has the UUID, by the driver's directory of GPUs, and what to do; or "".
func unknownUUID(unsafeDevice, dir string) (why, hint string) {
	entries, err := os.ReadDir(dir)
	if err != nil || !strings.HasPrefix(unsafeDevice, "GPU-") {
		return "", ""
	}
	for index, e := range entries { // sorted by bus id, as NVIDIA's indices are
		if information(dir, e.Name())["GPU UUID"] == unsafeDevice {
			return fmt.Sprintf("that GPU has the index %d here", index), fmt.Sprintf("ask for %d, or generate the CDI Spec "+
				"with the names of all GPUs: nvidia-ctk cdi generate --device-name-strategy=index "+
				"--device-name-strategy=uuid --output=FILE", index)
		}
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
	return "install the package " + toolkitPackage + ", or name the program's place in " + file
}
