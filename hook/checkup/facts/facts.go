// Package facts reads what a look over a host needs to know: device nodes, modules, libraries, the engines'
// configuration and hook definitions. It judges nothing and changes nothing.
package facts

import (
	"os"
	"path/filepath"
	"strings"
)

// Host is what is known of one host. What could not be read has its zero value, and a check that needs it finds
// nothing.
type Host struct {
	OS       OS
	Kernel   Kernel
	GPUs     []GPU            // of /proc/driver/nvidia/gpus
	Majors   map[string]int64 // of character devices, by the names of their drivers
	Started  int64            // when the host was started, in seconds of Unix, or 0
	HasGPUs  bool             // whether that directory is there; NVIDIA's drivers for Tegra have none
	PCI      []PCI            // graphics devices of the PCI bus
	Nodes    []string         // GPU nodes in /dev: of NVIDIA's driver, of DRM and /dev/kfd
	Paths    map[string]Path  // every node in Nodes, and every path that was asked about with its parents
	MIG      []Capability     // capabilities that NVIDIA's driver offers as nodes in /dev/nvidia-caps
	Library  Libraries
	Tools    map[string]string  // programs that were found, with their paths
	Programs map[string]Program // of hook definitions
	Specs    []SpecFile         // every file in a Spec directory, whether CDI reads it or not
	Refresh  Refresh
	// Quadlets are units of podman's that ask for a GPU and are not told to wait for a service.
	Quadlets []string
	Podman   Engine
	CRIO     Engine
	User     User
	SELinux  SELinux
	Toolkit  string // version of the package nvidia-container-toolkit, where dpkg tells
}

// Query is what to look for besides what every host has.
type Query struct {
	SpecDirs []string
	Paths    []string // of Specs and programs
	HookDirs []string // directories of hook definitions that engines may not read
	Only     []string // if set, the directories that engines are taken to read, whatever they are configured to
	UserDir  string   // configuration directory of the user whose engine it is, or ""
	UID      int
	Groups   []int // of the process
}

// Read reads the facts of the host whose root directory is root: "/", or a directory that stands for it in a test.
func Read(root string, q Query) *Host {
	r := reader{root: root}
	h := &Host{Paths: map[string]Path{}, Tools: map[string]string{}, Programs: map[string]Program{}}
	h.OS = r.os()
	h.Kernel = r.kernel()
	h.GPUs, h.PCI, h.MIG = r.gpus(), r.pci(), r.capabilities()
	h.Majors = r.majors()
	h.Started = r.started()
	h.HasGPUs = r.exists("/proc/driver/nvidia/gpus")
	h.Nodes = r.nodes()
	for _, path := range append(append([]string{}, h.Nodes...), q.Paths...) {
		r.lookUp(h.Paths, path)
	}
	h.Library = r.libraries()
	r.tools(h.Tools)
	h.Specs, h.Refresh = r.specs(q.SpecDirs), r.refresh()
	h.Quadlets = r.quadlets(q)
	h.Podman, h.CRIO = r.podman(q), r.crio(q)
	for _, e := range []Engine{h.Podman, h.CRIO} {
		for _, hook := range e.Hooks {
			r.lookUp(h.Paths, hook.Hook.Path)
			h.Programs[hook.Hook.Path] = r.program(hook.Hook.Path)
		}
	}
	h.User, h.SELinux, h.Toolkit = r.user(q), r.selinux(), r.toolkit()
	return h
}

// Tool reports whether the program is installed.
func (h *Host) Tool(name string) bool { return h.Tools[name] != "" }

// reader reads below the root directory.
type reader struct{ root string }

// at returns where a path of the host is.
func (r reader) at(path string) string { return filepath.Join(r.root, path) }

// maxFile bounds a file that is read whole, in bytes.
const maxFile = 1 << 20

// text returns the content of a file without space at its ends, or "".
func (r reader) text(path string) string {
	info, err := os.Stat(r.at(path))
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return ""
	}
	data, err := os.ReadFile(r.at(path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// names returns the names in a directory.
func (r reader) names(dir string) []string {
	entries, _ := os.ReadDir(r.at(dir))
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// exists reports whether there is something at the path, even a link to nowhere.
func (r reader) exists(path string) bool {
	_, err := os.Lstat(r.at(path))
	return err == nil
}

// tools looks for the programs that fixes name.
func (r reader) tools(found map[string]string) {
	for _, name := range []string{
		"nvidia-ctk", "nvidia-modprobe", "nvidia-smi", "amd-ctk", "intel-cdi-specs-generator", "podman", "crio", "crun",
		"runc", "systemctl",
		"ubuntu-drivers", "modprobe", "setsebool",
	} {
		for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
			info, err := os.Stat(r.at(filepath.Join(dir, name)))
			if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				found[name] = filepath.Join(dir, name)
				break
			}
		}
	}
}
