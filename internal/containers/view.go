package containers

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// View says whose containers are looked for, and where.
type View struct {
	// Root is the host's root directory; "" is this one's. Paths that files of the host name are below it.
	Root string
	// UID is who looks, as the host counts users. 0 sees the storage of the host's root besides those of Users.
	UID int
	// Users are those whose rootless storages are read, with their own rights if UID is 0.
	Users []User
	// Conf is a storage.conf in place of all others, or "", as the variable CONTAINERS_STORAGE_CONF names it.
	Conf string
}

// User is somebody who may have rootless containers.
type User struct {
	UID, GID int
	Name     string
	Home     string
	// Config, Data and Runtime are the user's directories of XDG. "" is the usual one.
	Config, Data, Runtime string
}

// maxUsers bounds the users whose storages are read.
const maxUsers = 1024

// ThisHost returns the view that this process has: root sees its own containers and those of all users of
// /etc/passwd, everybody else their own.
func ThisHost() View {
	self := trust.Identify()
	v := View{UID: self.UID, Conf: env("CONTAINERS_STORAGE_CONF")}
	if !self.Rootless {
		v.Users = usersOf("/")
		return v
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return v
	}
	v.Users = []User{{
		UID: self.UID, Name: env("USER"), Home: home,
		Config: env("XDG_CONFIG_HOME"), Data: env("XDG_DATA_HOME"), Runtime: env("XDG_RUNTIME_DIR"),
	}}
	return v
}

// env returns the value of a variable of this command's caller, to whom the engines listen too.
func env(name string) string {
	return os.Getenv(name) //nolint:forbidigo // this is no part of a hook: what it reads is the caller's own
}

// usersOf returns the users of the password file below root, apart from root. It looks at no home directory: that may
// be on a file server which does not answer.
func usersOf(root string) []User {
	data, err := readFile(filepath.Join(root, "etc/passwd"), maxFile)
	if err != nil {
		return nil
	}
	var users []User
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 7 {
			continue
		}
		uid, errUID := strconv.Atoi(fields[2])
		gid, errGID := strconv.Atoi(fields[3])
		known := func(u User) bool { return u.UID == uid }
		if errUID != nil || errGID != nil || uid <= 0 || slices.ContainsFunc(users, known) || len(users) == maxUsers {
			continue
		}
		if home := fields[5]; filepath.IsAbs(home) {
			users = append(users, User{UID: uid, GID: gid, Name: fields[0], Home: home})
		}
	}
	return users
}
