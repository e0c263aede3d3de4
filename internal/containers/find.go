package containers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/nearest"
)

// ErrUnknown is in the chain of the error about a container that no engine knows.
var ErrUnknown = errors.New("no engine of this host has such a container")

// mostCandidates is how many containers an error lists.
const mostCandidates = 5

// Find returns the container with this name or id, or else the only one whose id begins so. If one of those is of the
// view's own user, only that user's are meant: others can give their containers any name and id. Under CRI-O, the names
// of the container in its pod, POD/CONTAINER and NAMESPACE/POD/CONTAINER are names too. Which of several is meant is
// the caller's to say: the error lists them.
func Find(view View, nameOrID string) (Container, error) {
	list, errs := List(view)
	found := view.ownFirst(matching(list, nameOrID))
	what := "container " + Shown(nameOrID)
	switch len(found) {
	case 0:
		return Container{}, unknown(view, list, errs, nameOrID)
	case 1:
		return found[0], nil
	}
	var candidates []string
	for i := range found[:min(mostCandidates, len(found))] {
		candidates = append(candidates, found[i].String())
	}
	if len(found) > mostCandidates {
		candidates = append(candidates, fmt.Sprintf("%d more", len(found)-mostCandidates))
	}
	return Container{}, fault.New(fault.Request, what, "%d containers could be meant: %s", len(found),
		strings.Join(candidates, ", ")).WithHint("write the id, or more of it")
}

// ownFirst returns those of the containers that are of the view's own user or, if there is none, all.
func (v View) ownFirst(list []Container) []Container {
	var own []Container
	for _, c := range list {
		if c.UID == v.UID {
			own = append(own, c)
		}
	}
	if len(own) > 0 {
		return own
	}
	return list
}

// matching returns the containers that are called so or, if there is none, those whose id begins so.
func matching(list []Container, nameOrID string) []Container {
	if nameOrID == "" {
		return nil
	}
	var exact, begins []Container
	for _, c := range list {
		if c.Called(nameOrID) {
			exact = append(exact, c)
		}
		if strings.HasPrefix(c.ID, nameOrID) {
			begins = append(begins, c)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return begins
}

// unknown returns the error about a container that is not in the list.
func unknown(view View, list []Container, errs []error, nameOrID string) error {
	var known []string
	for i := range list {
		known = append(known, list[i].Names...)
		known = append(known, list[i].PodContainer)
	}
	slices.Sort(known)
	hint := "podman ps --all or crictl ps --all lists the containers"
	switch near := nearest.Word(nameOrID, known); {
	case near != "":
		hint = "did you mean " + Shown(near) + "?"
	case view.UID != 0:
		hint = "root's containers are seen by root alone: run it with sudo if it is one of those"
	}
	if err := errors.Join(errs...); err != nil {
		return fault.New(fault.Request, "container "+Shown(nameOrID), "%w that can be read: %w", ErrUnknown, err).
			WithHint("%s", hint)
	}
	return fault.New(fault.Request, "container "+Shown(nameOrID), "%w", ErrUnknown).WithHint("%s", hint)
}

// ReadConfig returns the config.json of the container's bundle, with the rights of the container's user alone. That of
// another user may be less long: decoded, it takes up to fifty times the room.
func ReadConfig(c Container) ([]byte, error) {
	if c.Bundle == "" {
		return nil, fault.New(fault.Bundle, c.String(), "the engine has written no config.json for it")
	}
	path, most := filepath.Join(c.Bundle, "config.json"), int64(maxFile)
	if c.UID != os.Geteuid() {
		most = maxOthersConfig
	}
	data, err := lookAs(owner{c.UID, c.GID}, func() ([]byte, error) { return readFile(path, most) })
	if err != nil {
		return nil, fault.New(fault.Bundle, "config.json of "+c.String(), "%w", err)
	}
	return data, nil
}
