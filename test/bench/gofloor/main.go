// gofloor STATE<stdin PLAN ROOTFS [check]: floor.c in Go with raw file descriptors; with "check" the checks that gpu-hook makes by handle.
package main

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func die(what string, err error) {
	os.Stderr.WriteString(what + ": " + err.Error() + "\n")
	unix.Exit(1)
}

var how = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}

func in(root int, p string) (int, error) { return unix.Openat2(root, p, &how) }

type op struct {
	fd       int
	host, at string
	maj, min uint32
	ino, dev uint64
}

func readAll(fd int) []byte {
	b := make([]byte, 64<<10)
	n, err := unix.Read(fd, b)
	if err != nil {
		die("read", err)
	}
	return b[:n]
}

func mountID(fd int) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		die("statx", err)
	}
}

func kernel(fd int) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || st.Type == unix.PROC_SUPER_MAGIC {
		die("fstatfs", err)
	}
}

func main() {
	check := len(os.Args) > 3
	st := readAll(0)
	i := bytes.Index(st, []byte(`"pid": `)) + 7
	pid := string(st[i : i+bytes.IndexByte(st[i:], ',')])
	i = bytes.Index(st, []byte(`"bundle": "`)) + 11
	bundle := string(st[i : i+bytes.IndexByte(st[i:], '"')])
	c, err := unix.Open(bundle+"/config.json", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		die("config", err)
	}
	readAll(c)
	pf, _ := unix.Open(os.Args[1], unix.O_RDONLY|unix.O_CLOEXEC, 0)
	plan := string(readAll(pf))
	ns, err := unix.Open("/proc/"+pid+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		die("ns", err)
	}
	ops := make([]op, 0, 128)
	for l := range strings.Lines(plan) {
		l = strings.TrimSuffix(l, "\n")
		a, b, _ := strings.Cut(l[2:], " ")
		if l[0] == 'm' {
			fd, err := unix.OpenTree(unix.AT_FDCWD, a, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
			if err != nil {
				die(a, err)
			}
			o := op{fd: fd, host: a, at: b}
			if check {
				var s unix.Stat_t
				_ = unix.Fstat(fd, &s)
				o.ino, o.dev = s.Ino, s.Dev
				if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}); err != nil {
					die("setattr", err)
				}
			}
			ops = append(ops, o)
			continue
		}
		ma, mi, _ := strings.Cut(b, " ")
		x, _ := strconv.Atoi(ma)
		y, _ := strconv.Atoi(mi)
		ops = append(ops, op{fd: -1, at: a, maj: uint32(x), min: uint32(y)})
		if check {
			var s unix.Stat_t
			_ = unix.Lstat("/dev/null", &s)
		}
	}
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			die("unshare", err)
		}
		if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
			die("setns", err)
		}
		root, err := unix.Open(os.Args[2], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			die("root", err)
		}
		unix.Umask(0)
		parents := map[string]bool{}
		for i := range ops {
			o := &ops[i]
			dirname, base := o.at[:strings.LastIndexByte(o.at, '/')], o.at[strings.LastIndexByte(o.at, '/')+1:]
			if o.fd >= 0 {
				t, err := in(root, o.at)
				if err != nil {
					if !parents[dirname] {
						for j := 1; j < len(o.at); j++ {
							if o.at[j] == '/' {
								if d, err := in(root, o.at[:j]); err != nil {
									_ = unix.Mkdirat(root, o.at[1:j], 0o755)
								} else {
									unix.Close(d)
								}
							}
						}
						parents[dirname] = true
					}
					d, err := in(root, dirname)
					if err != nil {
						die(dirname, err)
					}
					if check {
						kernel(d)
						mountID(d)
					}
					if t, err = unix.Openat(d, base, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_WRONLY|unix.O_CLOEXEC, 0o644); err != nil {
						die(o.at, err)
					}
					if !check {
						unix.Close(d)
					} // else: kept for the journal
				} else if check {
					kernel(t)
					mountID(t)
					var s unix.Stat_t
					_ = unix.Fstat(t, &s)
				}
				if err := unix.MoveMount(o.fd, "", t, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
					die("move_mount", err)
				}
				if check {
					v, err := in(root, o.at)
					if err != nil {
						die("verify", err)
					}
					var s unix.Stat_t
					_ = unix.Fstat(v, &s)
					if s.Ino != o.ino || s.Dev != o.dev {
						die("astray", unix.ESTALE)
					}
					unix.Close(v)
				}
				unix.Close(t)
				unix.Close(o.fd)
				continue
			}
			d, err := in(root, dirname)
			if err != nil {
				if err = unix.Mkdirat(root, dirname[1:], 0o755); err == nil {
					d, err = in(root, dirname)
				}
				if err != nil {
					die(dirname, err)
				}
			}
			if check {
				kernel(d)
				mountID(d)
			}
			if err := unix.Mknodat(d, base, unix.S_IFCHR|0o666, int(unix.Mkdev(o.maj, o.min))); err != nil && err != unix.EEXIST {
				die("mknod", err)
			}
			if check {
				v, err := unix.Openat(d, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
				if err != nil {
					die("verify", err)
				}
				var s unix.Stat_t
				_ = unix.Fstat(v, &s)
				unix.Close(v)
			}
			unix.Close(d)
		}
		done <- true
	}()
	<-done
	unix.Exit(0)
}
