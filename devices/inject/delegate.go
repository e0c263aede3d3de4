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

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
)

// Delegate is a vendor's own hook, to be run from a bundle made for it alone.
type Delegate struct {
	Path  string
	Args  []string          // with argv[0]; relative paths are below the private bundle, its working directory
	Files map[string][]byte // of the private bundle, config.json among them
}

// limits of the search for new nodes in the container's /dev.
const (
	maxDepth = 4
	maxNodes = 8192
)

// delegate runs the vendor's hook and returns the nodes that it left in the container's /dev, each of which still needs
// its device rule. The private bundle is mode 0700 below t.RunDir and gone afterwards. What the hook changed in the
// container cannot be undone.
func (t *Target) delegate(ctx context.Context, root *os.File, d Delegate) ([]*devices.DeviceNode, error) {
	what := "delegate " + d.Path
	hint := "see that it works by itself, or make CDI serve the request: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"
	before, err := nodes(root)
	if err != nil {
		return nil, fault.New(fault.Delegate, what, "read the container's /dev: %w", err).WithHint("%s", hint)
	}
	if err := t.runDelegate(ctx, d); err != nil {
		return nil, fault.New(fault.Delegate, what, "%w", err).WithHint("%s", hint)
	}
	after, err := nodes(root)
	if err != nil {
		return nil, fault.New(fault.Delegate, what, "read the container's /dev: %w", err).WithHint("%s", hint)
	}
	var made []*devices.DeviceNode
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if after[name] == before[name] {
			continue
		}
		n := after[name]
		made = append(made, &devices.DeviceNode{Path: name, Type: n.kind, Major: n.major, Minor: n.minor, Permissions: "rw", Status: devices.Applied})
	}
	return made, nil
}

func (t *Target) runDelegate(ctx context.Context, d Delegate) (err error) {
	if err := os.MkdirAll(t.RunDir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(t.RunDir, "delegate-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for name, data := range d.Files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	s := t.Container.State.State
	s.Bundle = dir
	stdin, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return command{path: d.Path, args: d.Args, env: []string{searchPath}, dir: dir, stdin: stdin}.run(ctx)
}

type node struct {
	kind         string
	major, minor int64
}

// nodes returns the character and block devices below the container's /dev, by path. It goes by handles and follows no
// link.
func nodes(root *os.File) (map[string]node, error) {
	found := map[string]node{}
	dev, err := pathrs.OpenatInRoot(root, "/dev")
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	return found, walk(dev, "/dev", 0, found)
}

func walk(dir *os.File, name string, depth int, found map[string]node) error {
	if depth > maxDepth || len(found) > maxNodes {
		return fmt.Errorf("%s is too deep or too full to look through", strconv.Quote(name))
	}
	list, err := openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer list.Close()
	entries, err := list.Readdirnames(maxNodes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, entry := range entries {
		var st unix.Stat_t
		if err := unix.Fstatat(int(list.Fd()), entry, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			continue // gone again
		}
		at := path.Join(name, entry)
		major, minor := int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev))) //nolint:unconvert // 32 bits wide on some machines
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			found[at] = node{"c", major, minor}
		case unix.S_IFBLK:
			found[at] = node{"b", major, minor}
		case unix.S_IFDIR:
			if at == "/dev/pts" || at == "/dev/shm" || at == "/dev/mqueue" {
				continue
			}
			sub, err := openat(list, entry, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
			if err != nil {
				continue
			}
			err = walk(sub, at, depth+1, found)
			_ = sub.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}
