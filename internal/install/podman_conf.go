package install

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// podmanConf is podman's configuration as far as it names directories of hook definitions. The last file that names any
// decides, so a drop-in must repeat what the files before it named.
type podmanConf struct{ *layout }

// head returns the first line of a drop-in, by which Uninstall recognizes one that nobody has changed.
func head(body string) string {
	return fmt.Sprintf("# Written by gpu-hook install. "+
		"As long as it is unchanged, gpu-hook uninstall removes it (sha256:%x).\n", sha256.Sum256([]byte(body)))
}

// unchanged reports whether data is a drop-in as Install wrote it.
func unchanged(data []byte) bool {
	first, body, found := strings.Cut(string(data), "\n")
	return found && first+"\n" == head(body)
}

// dropIn returns a drop-in that makes podman read its own directory after those that it reads without the drop-in. A
// definition in a later directory replaces one of the same name, so that one hook runs and not two.
func (c podmanConf) dropIn() []byte {
	dirs := []string{SystemHooks}
	before, _ := c.files()
	for _, f := range before {
		dirs = hookDirs(c.below(f), dirs)
	}
	// Podman's own directory holds all of gpu-hook that podman needs. SystemHooks is not added to a list that an
	// administrator has made without it: it may hold other hooks.
	dirs = append(slices.DeleteFunc(dirs, func(o string) bool { return o == c.precreate }), c.precreate)
	var quoted []string
	for _, dir := range dirs {
		if q := strconv.Quote(dir); !slices.Contains(quoted, q) {
			quoted = append(quoted, q)
		}
	}
	body := "[engine]\nhooks_dir = [" + strings.Join(quoted, ", ") + "]\n"
	return []byte(head(body) + body)
}

// advice returns what the administrator must do for podman to read its own directory: the drop-in was not written, or
// files that podman reads after it name other directories.
func (c podmanConf) advice() []Change {
	if c.conf == "" {
		return nil
	}
	if !c.knows() {
		return []Change{{Action: Unmerged, Path: c.conf, Dir: c.precreate}}
	}
	var out []Change
	_, after := c.files()
	for _, f := range after {
		if dirs := hookDirs(c.below(f), []string{c.precreate}); !slices.Contains(dirs, c.precreate) {
			out = append(out, Change{Action: Overruled, Path: f, Dir: c.precreate})
		}
	}
	return out
}

// knows reports whether podman's other configuration is there to be merged with. The tree of a package has none: a
// drop-in made in it would override the configuration of every host that the package is installed on.
func (c podmanConf) knows() bool {
	before, after := c.files()
	return c.dest == "" || len(before)+len(after) > 0
}

// files returns podman's configuration files in the order in which podman reads them: those that it reads before the
// drop-in, and those that it reads after it.
func (c podmanConf) files() (before, after []string) {
	places := []string{"/usr/share/containers", "/etc/containers"}
	if c.user != nil {
		places = append(places, filepath.Join(c.user.Config, "containers"))
	}
	for _, place := range places {
		for _, f := range c.filesIn(place) {
			// The drop-in is in the last place, so that only its neighbours can be read after it.
			switch neighbour := filepath.Dir(f) == filepath.Dir(c.conf); {
			case f == c.conf:
			case neighbour && f > c.conf:
				after = append(after, f)
			default:
				before = append(before, f)
			}
		}
	}
	return before, after
}

// filesIn returns the configuration files in one directory, in podman's order: the main file, then its drop-ins by
// name.
func (c podmanConf) filesIn(place string) []string {
	var list []string
	if main := filepath.Join(place, "containers.conf"); exists(c.below(main)) {
		list = append(list, main)
	}
	dropIns := filepath.Join(place, "containers.conf.d")
	entries, _ := os.ReadDir(c.below(dropIns))
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			list = append(list, filepath.Join(dropIns, e.Name()))
		}
	}
	return list
}

// exists reports whether there is a file at path, even a dangling symbolic link.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// hookDirs returns the directories after a configuration file of podman's or CRI-O's is read, given those before. It
// ignores a file that cannot be parsed, about which the engine itself complains.
func hookDirs(path string, sofar []string) []string {
	type section struct {
		HooksDir []any `toml:"hooks_dir"`
	}
	var conf struct {
		Engine section `toml:"engine"`
		CRIO   struct {
			Runtime section `toml:"runtime"`
		} `toml:"crio"`
	}
	if _, err := toml.DecodeFile(path, &conf); err != nil {
		return sofar
	}
	list := conf.Engine.HooksDir
	if list == nil {
		list = conf.CRIO.Runtime.HooksDir
	}
	if list == nil {
		return sofar
	}
	var dirs []string
	more := false
	for _, v := range list {
		switch v := v.(type) {
		case string:
			dirs = append(dirs, v)
		case map[string]any: // {append = true} of newer podmans
			more, _ = v["append"].(bool)
		}
	}
	if more {
		return append(slices.Clone(sofar), dirs...)
	}
	return dirs
}
