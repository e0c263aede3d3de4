package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Delegate is a vendor's own hook. It is run with a private bundle, whose config.json we write.
type Delegate struct {
	Path  string
	Args  []string          // with argv[0]; the working directory is the private bundle
	Files map[string][]byte // of the private bundle, config.json among them
}

// A private bundle is a directory with this prefix. One older than abandoned is left from a run that was killed.
const (
	bundlePrefix = "delegate-"
	abandoned    = time.Hour
)

// Limits of the search for new nodes in the container's /dev.
const (
	maxDepth = 4
	maxNodes = 8192
)

// delegate runs the vendor's hook. It returns the nodes that the hook made in the container's /dev, whose device rules
// are still to be set, and the hook's output. What the hook changed in the container cannot be undone.
func (t *Target) delegate(
	ctx context.Context, r *rootfs, d Delegate,
) (made []*devices.DeviceNode, said string, err error) {
	what := "delegate " + d.Path
	hint := "see that it works by itself, or make CDI serve the request: "
	if strings.HasPrefix(path.Base(d.Path), "nvidia-") {
		hint += "nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"
	} else {
		hint += "its vendor's tool generates a Spec"
	}
	before, err := r.devNodes()
	if err != nil {
		return nil, "", fault.New(fault.Delegate, what, "read the container's /dev: %w", err).WithHint("%s", hint)
	}
	said, err = t.runDelegate(ctx, d)
	if err != nil {
		return nil, "", fault.New(fault.Delegate, what, "%w", err).WithHint("%s", hint)
	}
	after, err := r.devNodes()
	if err != nil {
		return nil, "", fault.New(fault.Delegate, what, "read the container's /dev: %w", err).WithHint("%s", hint)
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if n := after[name]; n != before[name] {
			made = append(made, &devices.DeviceNode{
				Path: name, Type: "c", Major: n.major, Minor: n.minor, Permissions: "rw", Status: devices.Applied,
			})
		}
	}
	return made, said, nil
}

// runDelegate runs the vendor's hook with a private bundle below t.RunDir, of mode 0700, which it removes afterwards.
func (t *Target) runDelegate(ctx context.Context, d Delegate) (said string, err error) {
	// Whoever can write to RunDir could replace the bundle by one whose configuration names another program to run.
	if err := trust.PrivateDir(t.RunDir, 0o755); err != nil {
		return "", err
	}
	if err := t.Owner.Dir(t.RunDir); err != nil {
		return "", err
	}
	t.sweep()
	dir, err := os.MkdirTemp(t.RunDir, bundlePrefix)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for name, data := range d.Files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return "", err
		}
	}
	s := t.Container.State.State
	s.Bundle = dir
	stdin, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	return command{path: d.Path, args: d.Args, env: []string{searchPath}, dir: dir, stdin: stdin}.run(ctx)
}

// sweep removes private bundles that are left from runs which were killed.
func (t *Target) sweep() {
	entries, _ := os.ReadDir(t.RunDir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), bundlePrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(filepath.Join(t.RunDir, e.Name()))
		}
	}
}

// number is a device number.
type number struct{ major, minor int64 }

// devNodes returns the character devices below the container's /dev, by path. It looks only where nobody but the
// runtime and the delegate can make a node: on a /dev that is a filesystem of the container's own, without the mounts
// in it. Elsewhere, as in a root filesystem that containers share, somebody could make a node meanwhile, and the
// container would get its device rule. It goes by handles and follows no link.
func (r *rootfs) devNodes() (map[string]number, error) {
	found := map[string]number{}
	dev, err := linux.OpenInRoot(r.root, "/dev")
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	id, err := mountID(dev)
	if err != nil {
		return nil, err
	}
	if id == r.ground.root || !r.ground.own(id) {
		return found, nil
	}
	return found, walk(dev, "/dev", id, 0, found)
}

func tooFull(dir string) error {
	return fmt.Errorf("%s is too deep or too full to look through", strconv.Quote(dir))
}

// walk adds to found the character devices below dir, which is called name, as far as they are on this mount.
func walk(dir *os.File, name string, mount, depth int, found map[string]number) error {
	if depth > maxDepth || len(found) > maxNodes {
		return tooFull(name)
	}
	list, err := openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer list.Close()
	if id, err := mountID(list); err != nil || id != mount {
		return err
	}
	entries, err := list.Readdirnames(maxNodes + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(entries) > maxNodes {
		return tooFull(name)
	}
	for _, entry := range entries {
		st, err := linux.Fstatat(list, entry)
		if err != nil {
			continue // it was removed meanwhile
		}
		at := path.Join(name, entry)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			rdev := uint64(st.Rdev) //nolint:unconvert // 32 bits wide on some machines
			found[at] = number{int64(unix.Major(rdev)), int64(unix.Minor(rdev))}
		case unix.S_IFDIR:
			sub, err := openat(list, entry, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
			if err != nil {
				continue
			}
			err = walk(sub, at, mount, depth+1, found)
			_ = sub.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}
