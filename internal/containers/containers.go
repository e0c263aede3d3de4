// Package containers reads which containers podman, Buildah and CRI-O know, from the files in which their library
// (containers/storage) keeps them. It changes nothing and takes no lock, so what it reads may be a moment old. The
// names in these files were chosen by users and by the authors of pods: show them by [Shown] alone.
package containers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Container is a container that an engine knows. Whether it runs is not known.
type Container struct {
	ID string
	// Names are the container's names as the engine shows them. Under CRI-O it is the one that CRI-O makes of those of
	// container and pod.
	Names []string
	// Engine is podman, cri-o or buildah as in package state, or "" if the storage does not tell.
	Engine string
	// UID is the user whose storage it is, 0 for the host's root, and GID that user's group.
	UID, GID int
	// Bundle is the directory with the container's config.json, or "" if the engine has written none: the container
	// was never started, or it is Buildah's, which keeps it elsewhere.
	Bundle  string
	Created time.Time
	// Pod, Namespace and PodContainer are the names of the pod, its Kubernetes namespace and the container in it, under
	// CRI-O; else they are "".
	Pod, Namespace, PodContainer string
}

// shortID is how many characters of an id engines show.
const shortID = 12

// ShortID returns the beginning of the id that engines show.
func (c *Container) ShortID() string { return c.ID[:min(shortID, len(c.ID))] }

// Name returns the name by which people know the container: NAMESPACE/POD/CONTAINER under CRI-O, its first name
// elsewhere, or "" if it has none.
func (c *Container) Name() (unsafeName string) {
	if c.PodContainer != "" {
		return strings.TrimPrefix(c.Namespace+"/"+c.Pod+"/"+c.PodContainer, "/")
	}
	if len(c.Names) == 0 {
		return ""
	}
	return c.Names[0]
}

// String returns the container's name, engine, short id and, unless that is root, user. It is safe to print.
func (c *Container) String() string {
	var about []string
	if c.Engine != "" {
		about = append(about, c.Engine)
	}
	name := c.ShortID()
	if c.Name() != "" {
		name, about = Shown(c.Name()), append(about, c.ShortID())
	}
	if c.UID != 0 {
		about = append(about, "uid "+strconv.Itoa(c.UID))
	}
	if len(about) == 0 {
		return name
	}
	return name + " (" + strings.Join(about, ", ") + ")"
}

// Word returns what a command calls the container: its name if that [IsWord], else the beginning of its id.
func (c *Container) Word() string {
	if name := c.Name(); IsWord(name) {
		return name
	}
	return c.ShortID()
}

// IsWord reports whether every shell takes the name for one word as it is, and no program takes it for a flag.
func IsWord(unsafeName string) bool {
	return unsafeName != "" && Shown(unsafeName) == unsafeName && unsafeName[0] != '-'
}

// Called reports whether the container has this name or id, as [Find] takes it.
func (c *Container) Called(name string) bool {
	if c.ID == name || slices.Contains(c.Names, name) {
		return true
	}
	return c.PodContainer != "" && slices.Contains([]string{
		c.PodContainer, c.Pod + "/" + c.PodContainer, c.Namespace + "/" + c.Pod + "/" + c.PodContainer,
	}, name)
}

// Shown returns a name as it may be printed: quoted if it has other characters than engines allow in names.
func Shown(unsafeName string) string {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/"
	if unsafeName == "" || strings.Trim(unsafeName, allowed) != "" {
		return strconv.Quote(unsafeName)
	}
	return unsafeName
}

// List returns the containers of all storages that the view has and may read, the newest first. An error names a
// storage that is there and cannot be read; the containers of the others are returned all the same.
func List(view View) ([]Container, []error) {
	var list []Container
	var errs []error
	add := func(o owner, read func() ([]Container, error)) {
		found, err := lookAs(o, read)
		if err != nil {
			errs = append(errs, fmt.Errorf("containers of uid %d: %w", o.uid, err))
		}
		list = append(list, found...)
	}
	if view.UID == 0 {
		add(owner{}, func() ([]Container, error) { return readStores(view.rootStores(), owner{}) })
	}
	end := time.Now().Add(longest)
	for i, user := range view.Users {
		if time.Now().After(end) {
			errs = append(errs, fmt.Errorf("the containers of %d more users were not looked for: those of others took %v",
				len(view.Users)-i, longest))
			break
		}
		o := owner{user.UID, user.GID}
		add(o, func() ([]Container, error) { return readStores(view.userStores(user), o) })
	}
	slices.SortStableFunc(list, func(a, b Container) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return list, errs
}

// readStores returns the containers of the storages of one owner.
func readStores(stores []store, o owner) ([]Container, error) {
	var list []Container
	var errs []error
	seen, left := map[string]bool{}, newBudget()
	for _, s := range stores {
		found, err := s.read(o, left)
		errs = append(errs, err)
		for _, c := range found {
			if !seen[c.ID] {
				list = append(list, c)
			}
			seen[c.ID] = true
		}
	}
	return list, errors.Join(errs...)
}
