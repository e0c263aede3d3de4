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

// Delegate is a vendor's own hook, to be run from a bundle made for it alone.
type Delegate struct {
	Path  string
	Args  []string          // with argv[0]; relative paths are below the private bundle, its working directory
	Files map[string][]byte // of the private bundle, config.json among them
}

// bundlePrefix is that of a private bundle; after the time called forgotten nobody is using it any more.
const (
	bundlePrefix = "delegate-"
	forgotten    = time.Hour
)

// limits of the search for new nodes in the container's /dev.
const (
	maxDepth = 4
	maxNodes = 8192
)

// delegate runs the vendor's hook and returns the nodes that it left in the container's /dev, each of which still needs
// its device rule, and what it wrote. The private bundle is mode 0700 below t.RunDir and gone afterwards. What the hook
// changed in the container cannot be undone.
func (t *Target) delegate(ctx context.Context, r *rootfs, d Delegate) (made []*devices.DeviceNode, said string, err error) {
	what := "delegate " + d.Path
	hint := "see that it works by itself, or make CDI serve the request: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"
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
			made = append(made, &devices.DeviceNode{Path: name, Type: "c", Major: n.major, Minor: n.minor, Permissions: "rw", Status: devices.Applied})
		}
	}
	return made, said, nil
}

func (t *Target) runDelegate(ctx context.Context, d Delegate) (said string, err error) {
	// Whoever may write there could put another configuration in the place of ours, and name a program in it.
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

// sweep takes away private bundles of runs that were killed long ago.
func (t *Target) sweep() {
	entries, _ := os.ReadDir(t.RunDir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), bundlePrefix) && time.Since(info.ModTime()) > forgotten {
			_ = os.RemoveAll(filepath.Join(t.RunDir, e.Name()))
		}
	}
}

type number struct{ major, minor int64 }

// devNodes returns the character devices below the container's /dev, by path, as far as nobody but the runtime and the
// delegate can have put them there: on a /dev that is the container's own, and in it not on other mounts, where another
// container or the host could make a node just now and have it opened. It goes by handles and follows no link.
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
	own, err := r.ground.own(dev)
	if err != nil || !own {
		return found, err
	}
	id, err := mountID(dev)
	if err != nil {
		return nil, err
	}
	return found, walk(dev, "/dev", id, 0, found)
}

func walk(dir *os.File, name string, mount, depth int, found map[string]number) error {
	if depth > maxDepth || len(found) > maxNodes {
		return fmt.Errorf("%s is too deep or too full to look through", strconv.Quote(name))
	}
	list, err := openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer list.Close()
	if id, err := mountID(list); err != nil || id != mount {
		return err
	}
	entries, err := list.Readdirnames(maxNodes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, entry := range entries {
		st, err := linux.Fstatat(list, entry)
		if err != nil {
			continue // gone again
		}
		at := path.Join(name, entry)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			found[at] = number{int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))} //nolint:unconvert // 32 bits wide on some machines
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
