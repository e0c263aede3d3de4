package containers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The engines, as package state calls them.
const (
	podman  = "podman"
	crio    = "cri-o"
	buildah = "buildah"
)

// store is a storage of containers: the directory that stays, and those that last until the host is shut down, one of
// which it may have.
type store struct {
	graph string
	run   []string
}

// stored is what containers/storage keeps of a container.
type stored struct {
	ID       string    `json:"id"`
	Names    []string  `json:"names"`
	Metadata string    `json:"metadata"`
	Created  time.Time `json:"created"`
}

// metadata is what podman and CRI-O keep in the field of that name. Only CRI-O writes the names of pods.
type metadata struct {
	Name    string `json:"name"`
	PodName string `json:"pod-name"`
	PodID   string `json:"pod-id"`
	InPod   string `json:"metadata-name"`
}

// read returns the containers of the storage, without the infra containers of CRI-O's pods. If there is no such
// storage, it returns none.
func (s store) read(o owner, left *budget) ([]Container, error) {
	entries, err := names(s.graph)
	if o.uid != 0 && errors.Is(err, fs.ErrPermission) {
		return nil, nil // the user's engine cannot have one there either: system users' homes are often root's
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(entries)
	var list []Container
	var errs []error
	for _, entry := range entries {
		// A storage has one such directory for each driver that it was ever used with: overlay-containers.
		if !strings.HasSuffix(entry, "-containers") {
			continue
		}
		found, err := s.readDriver(entry, o, left)
		errs = append(errs, err)
		list = append(list, found...)
	}
	return list, errors.Join(errs...)
}

// readDriver returns the containers of one of the storage's drivers, whose directories have this name.
func (s store) readDriver(dir string, o owner, left *budget) ([]Container, error) {
	var all []stored
	var errs []error
	for _, top := range append([]string{s.graph}, s.run...) {
		// Those that need not survive a crash are in a file of their own, which "transient_store" moves to the run root.
		for _, name := range []string{"containers.json", "volatile-containers.json"} {
			found, err := readStored(filepath.Join(top, dir, name), left)
			errs = append(errs, err)
			all = append(all, found...)
		}
	}
	var list []Container
	for _, c := range all {
		var m metadata
		if json.Unmarshal([]byte(c.Metadata), &m) != nil {
			m = metadata{} // another program's
		}
		if validID(c.ID) && m.PodID != c.ID {
			list = append(list, s.container(dir, c, m, o))
		}
	}
	return list, errors.Join(errs...)
}

// container returns what is known of a stored container.
func (s store) container(dir string, c stored, m metadata, o owner) Container {
	out := Container{ID: c.ID, Names: c.Names, Created: c.Created, UID: o.uid, GID: o.gid}
	own := filepath.Join(s.graph, dir, c.ID, "userdata")
	switch {
	case m.PodName != "":
		out.Engine, out.PodContainer = crio, m.InPod
		out.Pod, out.Namespace = podOf(m.PodName)
	case m.Name != "":
		out.Engine = podman
	case exists(filepath.Join(own, "buildah.json")):
		out.Engine = buildah
		return out
	}
	// CRI-O's bundle is the directory below the run root; podman's is the other one.
	for _, run := range s.run {
		if at := filepath.Join(run, dir, c.ID, "userdata"); out.Bundle == "" && exists(filepath.Join(at, "config.json")) {
			out.Bundle = at
		}
	}
	if out.Bundle == "" && exists(filepath.Join(own, "config.json")) {
		out.Bundle = own
	}
	return out
}

// podOf returns the names of a pod and its namespace as Kubernetes knows them. CRI-O calls the pod
// k8s_NAME_NAMESPACE_UID_ATTEMPT, and none of these parts has an underscore.
func podOf(stored string) (pod, namespace string) {
	parts := strings.Split(stored, "_")
	if len(parts) == 5 && parts[0] == "k8s" {
		return parts[1], parts[2]
	}
	return stored, ""
}

// readStored returns the containers in a file of containers/storage, or none if there is no such file.
func readStored(path string, left *budget) ([]stored, error) {
	data, err := readFile(path, maxFile)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if left.bytes -= len(data); left.bytes < 0 {
		return nil, fmt.Errorf("%s: it and the owner's other such files are larger than %d KiB", path, maxBytes>>10)
	}
	list, err := decodeStored(json.NewDecoder(bytes.NewReader(data)), left)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// decodeStored reads a JSON array of containers.
func decodeStored(from *json.Decoder, left *budget) ([]stored, error) {
	if open, err := from.Token(); err != nil || open != json.Delim('[') {
		return nil, errors.Join(errors.New("it is not a JSON array"), err)
	}
	var list []stored
	for from.More() {
		if left.containers--; left.containers < 0 {
			return nil, fmt.Errorf("its owner has more than %d containers", maxContainers)
		}
		var c stored
		if err := from.Decode(&c); err != nil {
			return nil, err
		}
		c.Names = slices.Clone(c.Names[:min(maxNames, len(c.Names))])
		list = append(list, c)
	}
	_, err := from.Token()
	return list, err
}

// validID reports whether the id has the form of those that containers/storage makes. Such an id can be a file's name.
func validID(id string) bool { return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" }
