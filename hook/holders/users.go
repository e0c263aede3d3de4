package holders

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// maxUsers bounds the users whose records are read.
const maxUsers = 4096

// places are the directories below which users have their records, as report.RunDir says.
type places struct {
	runtime string // UID/gpu-hook/records
	temp    string // gpu-hook-UID/records
	// isFilesystem reports whether a directory of the runtime directory may be read without waiting for a program of its
	// user.
	isFilesystem func(dir string) bool
}

// thisHost returns the places of this host.
func thisHost() places {
	const runtime = "/run/user"
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(runtime))
	return places{runtime, "/tmp", func(dir string) bool { return err == nil && isFilesystem(mounts, dir) }}
}

// isFilesystem reports whether the topmost of the mounts on the directory, if there is one, is a tmpfs. A user can put
// another filesystem there, whose program never answers.
func isFilesystem(mounts []*mountinfo.Info, dir string) bool {
	is := true
	for _, m := range mounts {
		if m.Mountpoint == dir {
			is = m.FSType == "tmpfs"
		}
	}
	return is
}

// usersRecords returns the records of users' running containers that got devices. Users control everything below their
// own directories: no link there is followed, no other filesystem entered and nobody waited for, and what is not the
// user's own does not count.
func usersRecords(p places) (unsafeReports []*report.Report, errs []error) {
	read := func(top, path string, uid int) {
		found, err := recordsBelow(top, path, uid)
		unsafeReports, errs = append(unsafeReports, found...), append(errs, err...)
	}
	for _, name := range namesIn(p.runtime) {
		dir := filepath.Join(p.runtime, name)
		if uid, isUser := userID(name); isUser && p.isFilesystem(dir) {
			read(dir, "gpu-hook/records", uid)
		}
	}
	for _, name := range namesIn(p.temp) {
		id, isOurs := strings.CutPrefix(name, "gpu-hook-")
		if uid, isUser := userID(id); isOurs && isUser {
			read(p.temp, name+"/records", uid)
		}
	}
	return unsafeReports, errs
}

// recordsBelow returns the records in the directory at unsafePath below top, of the user with this uid.
func recordsBelow(top, unsafePath string, uid int) ([]*report.Report, []error) {
	dir, err := os.OpenFile(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil // it has gone since
	}
	defer dir.Close()
	records, err := linux.OpenBeneath(dir, unsafePath, unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []error{report.ForeignError(uid, err)}
	}
	defer records.Close()
	if st, err := linux.Fstat(records); err != nil || int(st.Uid) != uid {
		return nil, nil // anybody can make a directory with this name below /tmp, and thousands of them
	}
	return report.RunningOf(records, uid)
}

// namesIn returns names in a directory of the host, or none if it cannot be read.
func namesIn(dir string) []string {
	handle, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer handle.Close()
	names, err := handle.Readdirnames(maxUsers)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return names
}

// userID returns the uid that a directory's name is.
func userID(name string) (uid int, isUser bool) {
	id, err := strconv.ParseUint(name, 10, 31)
	return int(id), err == nil && id > 0
}
