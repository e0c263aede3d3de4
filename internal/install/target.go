package install

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// SystemHooks is the directory of definitions that podman and CRI-O read by default.
const SystemHooks = "/usr/share/containers/oci/hooks.d"

// PodmanHooks is a directory of definitions for podman alone: CRI-O does not start if a definition names a stage that
// it does not know.
const PodmanHooks = "/usr/share/gpu-hook/podman-hooks.d"

// PackageBin is where a package puts the binary.
const PackageBin = "/usr/bin"

// Directories of definitions for a host on which the default ones cannot be written. Buildah and containerd's hook
// injector read AdminHooks by default. Podman and CRI-O must be told of theirs.
const (
	AdminHooks       = "/etc/containers/oci/hooks.d"  // in the place of SystemHooks
	AdminPodmanHooks = "/etc/gpu-hook/podman-hooks.d" // in the place of PodmanHooks
)

// confName is the drop-in that tells podman about a directory of definitions, below a directory of its configuration.
const confName = "containers.conf.d/50-gpu-hook.conf"

// Target says where gpu-hook is installed, and for whom. Its directories are as the engines see them. The zero Target
// means the default places of the host, for every engine.
type Target struct {
	Engine    string // podman, cri-o or containerd, if gpu-hook is for that engine alone
	User      *User  // whose rootless podman gpu-hook is for, or nil for the whole host
	Bin       string // directory of the binary, or "" for the default
	Hooks     string // directory of the definition that every engine reads, or "" for the default
	Precreate string // directory of podman's own definitions, where CRI-O must not look, or "" for the default
	Destdir   string // everything is written below this directory, which no file names
	Packaged  bool   // a package has put the binary and the definitions in place, and it alone takes them away
}

// OfPackage returns the target with what a package has decided, if program is the path of a package's binary and the
// target leaves the place of the binary open. Otherwise gpu-hook would be on the host twice.
func (t Target) OfPackage(program string) Target {
	if t.User == nil && t.Bin == "" && t.Destdir == "" && program == filepath.Join(PackageBin, "gpu-hook") {
		t.Bin, t.Packaged = PackageBin, true
	}
	return t
}

// User is a user by the user's directories.
type User struct {
	Home   string // home directory
	Config string // configuration directory, XDG_CONFIG_HOME
}

// CurrentUser returns the user that this process runs as.
func CurrentUser() (*User, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, failure("home directory", err)
	}
	config, err := configDir()
	if err != nil {
		return nil, err
	}
	return &User{Home: home, Config: config}, nil
}

// UserHooks returns the directory in which [Install] puts the definitions of the [CurrentUser]'s podman.
func UserHooks() (string, error) {
	config, err := configDir()
	return userHooks(config), err
}

// configDir returns the configuration directory of the user.
func configDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", failure("configuration directory", err)
	}
	return dir, nil
}

// userHooks returns the directory of a user's hook definitions, below the user's configuration directory.
func userHooks(config string) string { return filepath.Join(config, "containers", "oci", "hooks.d") }

// layout is a Target with every place decided. The places are absolute, and as the engines see them.
type layout struct {
	engine, dest string
	user         *User
	bin, hooks   string
	precreate    string // directory of podman's own definitions, or "" for none
	conf         string // podman's drop-in, or "" for none
	packaged     bool
	moved        bool // whether the definitions are in the administrator's directories in the place of the default ones
}

// layout fills in the default places and makes all of them absolute.
func (t Target) layout() (*layout, error) {
	bin, hooks := "/usr/local/bin", SystemHooks
	if t.User != nil {
		bin, hooks = filepath.Join(t.User.Home, ".local", "bin"), userHooks(t.User.Config)
	}
	l := &layout{engine: t.Engine, dest: t.Destdir, user: t.User, precreate: t.Precreate, packaged: t.Packaged}
	l.bin, l.hooks = cmp.Or(t.Bin, bin), cmp.Or(t.Hooks, hooks)
	for _, place := range []*string{&l.bin, &l.hooks, &l.precreate} {
		if *place == "" {
			continue
		}
		abs, err := filepath.Abs(*place)
		if err != nil {
			return nil, failure(*place, err)
		}
		*place = abs
	}
	l.choosePodman()
	return l, nil
}

// writable is the layout whose definitions are not on a read-only filesystem, as far as the caller leaves their places
// open.
func (t Target) writable() (*layout, error) {
	l, err := t.layout()
	if err != nil {
		return nil, err
	}
	if moved := l.inEtc(); t.movable() && (readOnly(l.hooks) || l.precreate != moved.precreate && readOnly(l.precreate)) {
		return moved, nil
	}
	return l, nil
}

// movable reports whether the place of the definitions is left open: the caller has chosen none, and no package or
// user, whose places are always the same.
func (t Target) movable() bool {
	return t.Hooks == "" && t.User == nil && t.Destdir == "" && !t.Packaged
}

// inEtc returns the layout with the administrator's directories in the place of the default ones.
func (l *layout) inEtc() *layout {
	moved := *l
	moved.hooks, moved.moved = AdminHooks, true
	if l.precreate == PodmanHooks {
		moved.precreate = AdminPodmanHooks
	}
	return &moved
}

// readOnly reports whether a directory is on a read-only filesystem, or would be if it existed.
func readOnly(dir string) bool {
	for {
		err := unix.Access(dir, unix.W_OK)
		if !errors.Is(err, unix.ENOENT) || dir == "/" {
			return errors.Is(err, unix.EROFS)
		}
		dir = filepath.Dir(dir)
	}
}

// choosePodman decides what is for podman alone. The engines do not look in a directory that the caller chose, so
// telling them about it is left to the caller.
func (l *layout) choosePodman() {
	switch {
	case l.engine == "cri-o", l.engine == "containerd":
		l.precreate = ""
	case l.user != nil:
		l.precreate = cmp.Or(l.precreate, l.hooks) // no CRI-O looks there
		l.conf = filepath.Join(l.user.Config, "containers", confName)
	case l.hooks == SystemHooks:
		l.precreate = cmp.Or(l.precreate, PodmanHooks)
		l.conf = "/etc/containers/" + confName
	}
}

// binary returns the path of the installed binary, as the engines see it.
func (l *layout) binary() string { return filepath.Join(l.bin, "gpu-hook") }

// ofPackage reports whether a package has put the file in place.
func (l *layout) ofPackage(path string) bool {
	return l.packaged && slices.Contains([]string{
		filepath.Join(PackageBin, "gpu-hook"),
		filepath.Join(SystemHooks, definition.CreateRuntime),
		filepath.Join(PodmanHooks, definition.CreateRuntime),
		filepath.Join(PodmanHooks, definition.Precreate),
	}, path)
}

// below returns the path at which a place is written.
func (l *layout) below(path string) string { return filepath.Join(l.dest, path) }

// definitions returns the hook definitions. Podman reads its own directory last. The definition in it has the name of
// the one that every engine reads, so it replaces that one, and it names podman as the engine.
func (l *layout) definitions(o Options) ([]file, error) {
	type entry struct{ dir, name, engine string }
	entries := []entry{{l.hooks, definition.CreateRuntime, l.engine}, {l.precreate, definition.Precreate, ""}}
	if l.user != nil || l.precreate == l.hooks {
		entries[0].engine = "podman"
	}
	if l.precreate != l.hooks {
		entries = append(entries, entry{l.precreate, definition.CreateRuntime, "podman"})
	}
	var out []file
	for _, d := range entries {
		if d.dir == "" {
			continue
		}
		seconds := int(o.Timeout.Seconds())
		data, err := definition.For(d.name, l.binary(), d.engine, o.Flags, l.environment(), seconds)
		if err != nil {
			return nil, failure(d.name, err)
		}
		out = append(out, file{filepath.Join(d.dir, d.name), data, 0o644})
	}
	return out, nil
}

// environment returns the variables that the hook of a user's own podman needs. An engine gives a hook the variables of
// its definition and no others.
func (l *layout) environment() []string {
	if l.user == nil {
		return nil
	}
	return []string{"XDG_CONFIG_HOME=" + l.user.Config}
}
