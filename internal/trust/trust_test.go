package trust

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

const friend = 4242

// tree makes a new directory with these entries, in order: "dir PATH MODE [UID]", "file PATH MODE [UID]", "link PATH
// TARGET [UID]", "fifo PATH", "null PATH". "@" in an entry stands for the directory. A file's content is its own path.
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	top := t.TempDir()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(os.Chmod(top, 0o755))
	for _, entry := range entries {
		f := strings.Fields(strings.ReplaceAll(entry, "@", top))
		path := filepath.Join(top, f[1])
		var mode uint32
		if f[0] == "dir" || f[0] == "file" {
			_, err := fmt.Sscanf(f[2], "%o", &mode)
			try(err)
		}
		switch f[0] {
		case "dir":
			try(os.Mkdir(path, 0o700))
			try(unix.Chmod(path, mode))
		case "file":
			try(os.WriteFile(path, []byte(f[1]), 0o600))
		case "link":
			try(os.Symlink(f[2], path))
		case "fifo":
			try(unix.Mkfifo(path, 0o644))
		case "null":
			try(unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
		}
		if len(f) > 3 {
			var uid int
			_, err := fmt.Sscan(f[3], &uid)
			try(err)
			try(os.Lchown(path, uid, uid))
		}
		if f[0] == "file" {
			try(unix.Chmod(path, mode))
		}
	}
	return top
}

// Without an error the file is opened, and its content is want.
func TestOpenFile(t *testing.T) {
	require.Root(t)
	for _, test := range []struct {
		name    string
		owner   Owner
		entries []string
		path    string
		want    string
		err     string
	}{
		{"root's file", Root(), []string{"file f 0644"}, "@/f", "f", ""},
		{"unreadable mode", Root(), []string{"file f 0000"}, "@/f", "f", ""},
		{"a stranger's file", Root(), []string{"file f 0644 65534"}, "@/f", "", "@/f: not trusted: it is owned by uid 65534"},
		{"the owner's file", Owner{friend}, []string{"file f 0644 4242"}, "@/f", "f", ""},
		{"root's file, for an owner", Owner{friend}, []string{"file f 0644"}, "@/f", "f", ""},
		{
			"a stranger's file, for an owner",
			Owner{friend},
			[]string{"file f 0644 65534"},
			"@/f", "",
			"@/f: not trusted: it is owned by uid 65534",
		},
		{
			"the owner's file, for root", Root(),
			[]string{"file f 0644 4242"},
			"@/f", "",
			"@/f: not trusted: it is owned by uid 4242",
		},
		{
			"group may write", Root(),
			[]string{"file f 0664"},
			"@/f", "",
			"@/f: not trusted: it is writable by group or others (mode 0664)",
		},
		{
			"others may write", Root(),
			[]string{"file f 0646"},
			"@/f", "",
			"@/f: not trusted: it is writable by group or others (mode 0646)",
		},
		{
			"the sticky bit is nothing on a file", Root(),
			[]string{"file f 01646"},
			"@/f", "",
			"@/f: not trusted: it is writable by group or others (mode 1646)",
		},
		{
			"a stranger's directory", Root(),
			[]string{"dir d 0755 65534", "file d/f 0644"},
			"@/d/f", "",
			"@/d: not trusted: the directory is owned by uid 65534",
		},
		{
			"a stranger's sticky directory", Root(),
			[]string{"dir d 01777 65534", "file d/f 0644"},
			"@/d/f", "",
			"@/d: not trusted: the directory is owned by uid 65534",
		},
		{
			"a stranger's directory further up", Root(),
			[]string{"dir d 0755 65534", "dir d/e 0755", "file d/e/f 0644"},
			"@/d/e/f", "", "@/d: not trusted: the directory is owned by uid 65534",
		},
		{
			"a directory of the group", Root(),
			[]string{"dir d 0775", "file d/f 0644"},
			"@/d/f", "",
			"@/d: not trusted: the directory is writable by group or others (mode 0775)",
		},
		{
			"a directory of all", Root(),
			[]string{"dir d 0757", "file d/f 0644"},
			"@/d/f", "",
			"@/d: not trusted: the directory is writable by group or others (mode 0757)",
		},
		{"a sticky directory of all", Root(), []string{"dir d 01777", "file d/f 0644"}, "@/d/f", "d/f", ""},
		{
			"a stranger's file in a sticky directory", Root(),
			[]string{"dir d 01777", "file d/f 0644 65534"},
			"@/d/f", "",
			"@/d/f: not trusted: it is owned by uid 65534",
		},
		{"a relative link", Root(), []string{"dir d 0755", "file d/f 0644", "link l d/f"}, "@/l", "d/f", ""},
		{"an absolute link", Root(), []string{"dir d 0755", "file d/f 0644", "link l @/d/f"}, "@/l", "d/f", ""},
		{
			"a link to a directory", Root(),
			[]string{"dir d 0755", "dir d/e 0755", "file d/f 0644", "link d/e/l ../../d"},
			"@/d/e/l/f", "d/f", "",
		},
		{
			"a stranger's link", Root(),
			[]string{"file f 0644", "link l f 65534"},
			"@/l", "",
			"@/l: not trusted: the symbolic link is owned by uid 65534",
		},
		{
			"a stranger's link on the way", Root(),
			[]string{"dir d 0755", "file d/f 0644", "link l d 65534"},
			"@/l/f", "",
			"@/l: not trusted: the symbolic link is owned by uid 65534",
		},
		{
			"a stranger's link behind a link", Root(),
			[]string{"file f 0644", "link l f 65534", "link k l"},
			"@/k", "",
			"@/l: not trusted: the symbolic link is owned by uid 65534",
		},
		{"the owner's link", Owner{friend}, []string{"file f 0644", "link l f 4242"}, "@/l", "f", ""},
		{
			"a link into a stranger's directory", Root(),
			[]string{"dir d 0755 65534", "file d/f 0644", "link l d/f"},
			"@/l", "",
			"@/d: not trusted: the directory is owned by uid 65534",
		},
		{"a link to itself", Root(), []string{"link l l"}, "@/l", "", "open @/l: too many levels of symbolic links"},
		{
			"a loop of links", Root(),
			[]string{"link a b", "link b a"},
			"@/a/f", "",
			"open @/a/f: too many levels of symbolic links",
		},
		{"a link to nothing", Root(), []string{"link l nothing"}, "@/l", "", "lstat @/nothing: no such file or directory"},
		{"missing", Root(), nil, "@/f", "", "lstat @/f: no such file or directory"},
		{"below a file", Root(), []string{"file f 0644"}, "@/f/g", "", "open @/f: not a directory"},
		{"a FIFO", Root(), []string{"fifo f"}, "@/f", "", "@/f: not trusted: it is not a regular file"},
		{"a device", Root(), []string{"null f"}, "@/f", "", "@/f: not trusted: it is not a regular file"},
		{"a directory", Root(), []string{"dir d 0755"}, "@/d", "", "@/d: not trusted: it is not a regular file"},
		{"the root directory", Root(), nil, "/", "", "/: not trusted: it is not a regular file"},
		{"relative", Root(), nil, "f", "", `"f": not trusted: the path is not absolute and clean`},
		{"empty", Root(), nil, "", "", `"": not trusted: the path is not absolute and clean`},
		{
			"not clean", Root(),
			[]string{"file f 0644"},
			"@/../@/f", "",
			`"@/../@/f": not trusted: the path is not absolute and clean`,
		},
		{
			"a slash at the end", Root(),
			[]string{"file f 0644"},
			"@/f/", "",
			`"@/f/": not trusted: the path is not absolute and clean`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := tree(t, test.entries...)
			path := strings.ReplaceAll(test.path, "@", top)
			file, err := test.owner.OpenFile(path)
			if test.err != "" {
				checkError(t, err, test.err, top)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			data, err := io.ReadAll(file)
			if err != nil || string(data) != test.want || file.Name() != path {
				t.Errorf("%s holds %q, %v; want %q", file.Name(), data, err, test.want)
			}
		})
	}
}

// checkError checks the error's text, and that ErrUntrusted is in its chain if and only if the text says so.
func checkError(t *testing.T, err error, want, top string) {
	t.Helper()
	want = strings.ReplaceAll(want, "@", top)
	if err == nil || err.Error() != want {
		t.Fatalf("got error %v, want %s", err, want)
	}
	if errors.Is(err, ErrUntrusted) != strings.Contains(want, "not trusted") {
		t.Errorf("ErrUntrusted in the chain of %q: %v", err, errors.Is(err, ErrUntrusted))
	}
}

func TestLinksAreBounded(t *testing.T) {
	require.Root(t)
	for _, test := range []struct {
		links int
		err   string
	}{
		{maxLinks, ""},
		{maxLinks + 1, "open @/l41: too many levels of symbolic links"},
	} {
		entries := []string{"file l0 0644"}
		for i := range test.links {
			entries = append(entries, fmt.Sprintf("link l%d l%d", i+1, i))
		}
		top := tree(t, entries...)
		file, err := Root().OpenFile(fmt.Sprintf("%s/l%d", top, test.links))
		if test.err != "" {
			checkError(t, err, test.err, top)
			continue
		}
		if err != nil {
			t.Fatalf("%d links: %v", test.links, err)
		}
		_ = file.Close()
	}
}

func TestExecutable(t *testing.T) {
	require.Root(t)
	for _, test := range []struct {
		name, entry, path, err string
	}{
		{"root's", "file f 0755", "@/f", ""},
		{"for its owner alone", "file f 0100", "@/f", ""},
		{"not executable", "file f 0644", "@/f", "@/f: not trusted: it is not executable"},
		{"set-user-ID", "file f 04755", "@/f", "@/f: not trusted: it is set-user-ID or set-group-ID"},
		{"set-group-ID", "file f 02755", "@/f", "@/f: not trusted: it is set-user-ID or set-group-ID"},
		{"a stranger's", "file f 0755 65534", "@/f", "@/f: not trusted: it is owned by uid 65534"},
		{"writable", "file f 0775", "@/f", "@/f: not trusted: it is writable by group or others (mode 0775)"},
		{"a directory", "dir f 0755", "@/f", "@/f: not trusted: it is not a regular file"},
		{"a name for PATH", "file f 0755", "f", `"f": not trusted: the path is not absolute and clean`},
		{"missing", "dir d 0755", "@/f", "lstat @/f: no such file or directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := tree(t, test.entry)
			err := Root().Executable(strings.ReplaceAll(test.path, "@", top))
			if test.err != "" {
				checkError(t, err, test.err, top)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDir(t *testing.T) {
	require.Root(t)
	for _, test := range []struct {
		name    string
		owner   Owner
		entries []string
		path    string
		err     string
	}{
		{"root's", Root(), []string{"dir d 0755"}, "@/d", ""},
		{"the root directory", Root(), nil, "/", ""},
		{"sticky", Root(), []string{"dir d 01777"}, "@/d", ""},
		{"a link to one", Root(), []string{"dir d 0755", "link l d"}, "@/l", ""},
		{"the owner's", Owner{friend}, []string{"dir d 0755 4242"}, "@/d", ""},
		{
			"writable", Root(),
			[]string{"dir d 0777"},
			"@/d",
			"@/d: not trusted: the directory is writable by group or others (mode 0777)",
		},
		{
			"a stranger's", Root(),
			[]string{"dir d 0755 65534"},
			"@/d",
			"@/d: not trusted: the directory is owned by uid 65534",
		},
		{
			"below a stranger's", Root(),
			[]string{"dir d 0755 65534", "dir d/e 0755"},
			"@/d/e",
			"@/d: not trusted: the directory is owned by uid 65534",
		},
		{
			"a link to a stranger's", Root(),
			[]string{"dir d 0755 65534", "link l d"},
			"@/l",
			"@/d: not trusted: the directory is owned by uid 65534",
		},
		{"a file", Root(), []string{"file f 0644"}, "@/f", "open @/f: not a directory"},
		{"missing", Root(), nil, "@/d", "lstat @/d: no such file or directory"},
		{"relative", Root(), nil, "d", `"d": not trusted: the path is not absolute and clean`},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := tree(t, test.entries...)
			err := test.owner.Dir(strings.ReplaceAll(test.path, "@", top))
			if test.err != "" {
				checkError(t, err, test.err, top)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
