package containers

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// storageConf is what of a storage.conf is read. Each file overrides what those before it set.
type storageConf struct {
	Storage struct {
		GraphRoot string `toml:"graphroot"`
		RunRoot   string `toml:"runroot"`
		Rootless  string `toml:"rootless_storage_path"`
	} `toml:"storage"`
}

// crioConf is what of a crio.conf is read.
type crioConf struct {
	CRIO struct {
		Root    string `toml:"root"`
		RunRoot string `toml:"runroot"`
	} `toml:"crio"`
}

// rootStores returns the storages of the engines that root runs: the one of podman and Buildah, which CRI-O uses too
// unless its own configuration names another.
func (v View) rootStores() []store {
	c := v.systemConf()
	graph := cmp.Or(c.Storage.GraphRoot, "/var/lib/containers/storage")
	run := cmp.Or(c.Storage.RunRoot, "/run/containers/storage")
	var crio crioConf
	v.read(&crio, append([]string{"/etc/crio/crio.conf"}, v.dropIns("/etc/crio/crio.conf.d")...)...)
	stores := []store{v.store(graph, run)}
	if own := v.store(cmp.Or(crio.CRIO.Root, graph), cmp.Or(crio.CRIO.RunRoot, run)); own.graph != stores[0].graph {
		stores = append(stores, own)
	} else if own.run[0] != stores[0].run[0] {
		stores[0].run = append(stores[0].run, own.run...)
	}
	return stores
}

// systemConf returns the host's configuration of storages.
func (v View) systemConf() storageConf {
	var c storageConf
	if v.Conf != "" {
		v.read(&c, v.Conf)
		return c
	}
	const own, shipped = "/etc/containers/storage.conf", "/usr/share/containers/storage.conf"
	main := shipped
	if exists(v.path(own)) {
		main = own
	}
	files := append([]string{main}, v.dropIns(shipped+".d")...)
	v.read(&c, append(files, v.dropIns(own+".d")...)...)
	return c
}

// userStores returns the storages of a user's rootless engines.
func (v View) userStores(u User) []store {
	var own storageConf
	config := cmp.Or(u.Config, filepath.Join(u.Home, ".config"))
	switch file := filepath.Join(config, "containers/storage.conf"); {
	case v.Conf != "" && v.UID == u.UID:
		v.read(&own, v.Conf)
	default:
		v.read(&own, append([]string{file}, v.dropIns(file+".d")...)...)
	}
	data := cmp.Or(u.Data, filepath.Join(u.Home, ".local/share"))
	// A rootless engine does not take the host's graphroot, which is root's.
	graph := cmp.Or(own.Storage.GraphRoot, own.Storage.Rootless, v.systemConf().Storage.Rootless,
		filepath.Join(data, "containers/storage"))
	run := []string{fmt.Sprintf("/run/user/%d/containers", u.UID), fmt.Sprintf("/tmp/storage-run-%d/containers", u.UID)}
	if u.Runtime != "" {
		run = slices.Insert(run, 0, filepath.Join(u.Runtime, "containers"))
	}
	if own.Storage.RunRoot != "" {
		run = []string{u.expand(own.Storage.RunRoot)}
	}
	return []store{v.store(u.expand(graph), run...)}
}

// expand replaces the variables that a storage.conf may use in a path of this user's.
func (u User) expand(path string) string {
	return strings.NewReplacer("$HOME", u.Home, "${HOME}", u.Home, "$USER", u.Name, "${USER}", u.Name,
		"$UID", strconv.Itoa(u.UID), "${UID}", strconv.Itoa(u.UID)).Replace(path)
}

// store returns the storage in these directories of the host.
func (v View) store(graph string, run ...string) store {
	s := store{graph: v.path(graph)}
	for _, dir := range run {
		s.run = append(s.run, v.path(dir))
	}
	return s
}

// path returns the path at which a file of the host is found.
func (v View) path(file string) string { return filepath.Join(cmp.Or(v.Root, "/"), file) }

// dropIns returns the paths of the configuration files in a directory of the host, sorted.
func (v View) dropIns(dir string) []string {
	found, err := names(v.path(dir))
	if err != nil {
		return nil
	}
	slices.Sort(found)
	var files []string
	for _, name := range found {
		if strings.HasSuffix(name, ".conf") {
			files = append(files, filepath.Join(dir, name))
		}
	}
	return files
}

// read decodes the TOML files of the host into conf, one after the other. It leaves out those that it cannot read: the
// engine does not start with them either, and its containers are where they were.
func (v View) read(conf any, files ...string) {
	for _, file := range files {
		data, err := readFile(v.path(file), maxConf)
		if err == nil {
			_, _ = toml.Decode(string(data), conf)
		}
	}
}
