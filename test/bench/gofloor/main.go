// Command gofloor is floor in Go, by raw file descriptors, with the checks that gpu-hook makes by handle: what a hook
// in Go must cost that is as careful.
//
//	gofloor PLAN ROOTFS < STATE
//
// The plan is as floor reads it: lines "m HOSTPATH CONTAINERPATH" and "d CONTAINERPATH MAJOR MINOR".
package main

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func must(what string, err error) {
	if err != nil {
		_, _ = os.Stderr.WriteString("gofloor: " + what + ": " + err.Error() + "\n")
		unix.Exit(1)
	}
}

// edit is a line of the plan. tree is the clone of what is mounted, -1 for a device node.
type edit struct {
	tree         int
	source       unix.Stat_t
	at           string
	major, minor uint32
}

func main() {
	namespace := readState()
	edits := readPlan(os.Args[1])
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		must("unshare", unix.Unshare(unix.CLONE_FS))
		must("setns", unix.Setns(namespace, unix.CLONE_NEWNS))
		apply(os.Args[2], edits)
		close(done)
	}()
	<-done
	unix.Exit(0)
}

func read(fd int) []byte {
	data := make([]byte, 64<<10)
	n, err := unix.Read(fd, data)
	must("read", err)
	return data[:n]
}

func open(path string, flags int) int {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	must(path, err)
	return fd
}

// readState reads the state and config.json, and returns the handle of the container's mount namespace.
func readState() int {
	state := read(0)
	field := func(name string, end byte) string {
		_, rest, found := bytes.Cut(state, []byte(name))
		i := bytes.IndexByte(rest, end)
		if !found || i < 0 {
			must("state", unix.EINVAL)
		}
		return string(rest[:i])
	}
	read(open(field(`"bundle": "`, '"')+"/config.json", unix.O_RDONLY))
	return open("/proc/"+field(`"pid": `, ',')+"/ns/mnt", unix.O_RDONLY)
}

// readPlan reads the edits and clones the mounts on the way, with their attributes.
func readPlan(path string) []edit {
	edits := make([]edit, 0, 128)
	for line := range strings.Lines(string(read(open(path, unix.O_RDONLY)))) {
		first, rest, _ := strings.Cut(strings.TrimSuffix(line[2:], "\n"), " ")
		e := edit{tree: -1, at: first}
		if line[0] == 'm' {
			e.at = rest
			e.clone(first)
		} else {
			major, minor, _ := strings.Cut(rest, " ")
			e.major, e.minor = number(major), number(minor)
			must("lstat", unix.Lstat("/dev/null", &unix.Stat_t{})) // as the node on the host would be looked at
		}
		edits = append(edits, e)
	}
	return edits
}

func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	must(text, err)
	return uint32(n)
}

func (e *edit) clone(hostPath string) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, hostPath, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	must(hostPath, err)
	e.tree = tree
	must("fstat", unix.Fstat(tree, &e.source))
	must("mount_setattr", unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE,
	}))
}

// rootfs is the container's root filesystem. made are the directories whose parents are known to be there.
type rootfs struct {
	root int
	made map[string]bool
}

func apply(root string, edits []edit) {
	r := &rootfs{open(root, unix.O_PATH|unix.O_DIRECTORY), map[string]bool{}}
	unix.Umask(0)
	for i := range edits {
		if edits[i].tree >= 0 {
			r.attach(&edits[i])
		} else {
			r.makeNode(&edits[i])
		}
	}
}

func (r *rootfs) lookup(path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return unix.Openat2(r.root, path, &how)
}

// dir opens the directory of a path, making what is missing of it.
func (r *rootfs) dir(dirname string) int {
	for i := 1; !r.made[dirname] && i <= len(dirname); i++ {
		if i < len(dirname) && dirname[i] != '/' {
			continue
		}
		if fd, err := r.lookup(dirname[:i]); err == nil {
			_ = unix.Close(fd)
		} else if err := unix.Mkdirat(r.root, dirname[1:i], 0o755); !errors.Is(err, unix.EEXIST) {
			must(dirname[:i], err)
		}
	}
	r.made[dirname] = true
	fd, err := r.lookup(dirname)
	must(dirname, err)
	checkGround(fd)
	return fd
}

// checkGround looks at where something is made or mounted: not on the kernel's own filesystems, and on which mount.
func checkGround(fd int) {
	var filesystem unix.Statfs_t
	must("fstatfs", unix.Fstatfs(fd, &filesystem))
	if filesystem.Type == unix.PROC_SUPER_MAGIC {
		must("ground", unix.EPERM)
	}
	must("statx", unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &unix.Statx_t{}))
}

func split(path string) (dirname, base string) {
	i := strings.LastIndexByte(path, '/')
	return path[:i], path[i+1:]
}

// attach puts a mount in its place and verifies it. The directory's handle is kept, as a journal would.
func (r *rootfs) attach(e *edit) {
	target, err := r.lookup(e.at)
	if err != nil {
		dirname, base := split(e.at)
		const flags = unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_WRONLY | unix.O_CLOEXEC
		target, err = unix.Openat(r.dir(dirname), base, flags, 0o644)
		must(e.at, err)
	} else {
		checkGround(target)
		must("fstat", unix.Fstat(target, &unix.Stat_t{}))
	}
	const byHandle = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	must("move_mount", unix.MoveMount(e.tree, "", target, "", byHandle))
	attached, err := r.lookup(e.at)
	must("verify", err)
	var st unix.Stat_t
	must("fstat", unix.Fstat(attached, &st))
	if st.Ino != e.source.Ino || st.Dev != e.source.Dev {
		must("verify", unix.ESTALE)
	}
	for _, fd := range []int{attached, target, e.tree} {
		_ = unix.Close(fd)
	}
}

// makeNode makes a device node and verifies it.
func (r *rootfs) makeNode(e *edit) {
	dirname, base := split(e.at)
	dir := r.dir(dirname)
	device := int(unix.Mkdev(e.major, e.minor))
	if err := unix.Mknodat(dir, base, unix.S_IFCHR|0o666, device); !errors.Is(err, unix.EEXIST) {
		must("mknod", err)
	}
	node, err := unix.Openat(dir, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	must("verify", err)
	must("fstat", unix.Fstat(node, &unix.Stat_t{}))
	_ = unix.Close(node)
	_ = unix.Close(dir)
}
