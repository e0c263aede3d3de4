package main

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

// podmanConf is podman's configuration as far as it says where hooks are. The last file that says it decides, so a drop-in
// must name all that was named before.
type podmanConf struct{ to *target }

// head is the first line of the drop-in, by which uninstall knows it for its own.
func head(body string) string {
	return fmt.Sprintf("# Written by gpu-hook install. As long as it is unchanged, gpu-hook uninstall removes it (sha256:%x).\n", sha256.Sum256([]byte(body)))
}

// dropIn makes podman read our directories beside those that it reads without it, and after them: there a definition of
// the same name stands over the host's, so that one hook runs, not two.
func (c podmanConf) dropIn() []byte {
	dirs := []string{systemHooks}
	before, _ := c.files()
	for _, f := range before {
		dirs = hookDirs(filepath.Join(c.to.dest, f), dirs)
	}
	// Podman's own directory holds all that podman needs of us. One that an administrator has left out stays out: it may
	// hold other hooks.
	dirs = append(slices.DeleteFunc(dirs, func(o string) bool { return o == c.to.precreate }), c.to.precreate)
	var quoted []string
	for _, dir := range dirs {
		if q := strconv.Quote(dir); !slices.Contains(quoted, q) {
			quoted = append(quoted, q)
		}
	}
	body := "[engine]\nhooks_dir = [" + strings.Join(quoted, ", ") + "]\n"
	return []byte(head(body) + body)
}

// unchanged reports whether data is a drop-in as it was written.
func unchanged(data []byte) bool {
	first, body, found := strings.Cut(string(data), "\n")
	return found && first+"\n" == head(body)
}

// overruled says which files make podman look elsewhere all the same.
func (c podmanConf) overruled(p process) error {
	if c.to.conf == "" {
		return nil
	}
	if !c.knows() {
		_, err := fmt.Fprintf(p.stdout, "podman's configuration is the host's, so none is written: on the host run gpu-hook install, or add %q to hooks_dir in containers.conf\n", c.to.precreate)
		return err
	}
	_, after := c.files()
	for _, f := range after {
		if dirs := hookDirs(filepath.Join(c.to.dest, f), []string{c.to.precreate}); !slices.Contains(dirs, c.to.precreate) {
			if _, err := fmt.Fprintf(p.stdout, "podman reads %s after it, which sets hooks_dir: add %q there\n", f, c.to.precreate); err != nil {
				return err
			}
		}
	}
	return nil
}

// knows reports whether podman's other configuration is there to be merged with. A package's tree has none: a drop-in from it
// would override whatever its host has.
func (c podmanConf) knows() bool {
	before, after := c.files()
	return c.to.dest == "" || len(before)+len(after) > 0
}

// files are podman's configuration files in the order in which it reads them, those before and those after ours.
func (c podmanConf) files() (before, after []string) {
	places := []string{"/usr/share/containers", "/etc/containers"}
	if c.to.user {
		places = append(places, filepath.Join(c.to.home, "containers"))
	}
	passed := false
	for _, place := range places {
		var list []string
		if main := filepath.Join(place, "containers.conf"); exists(filepath.Join(c.to.dest, main)) {
			list = append(list, main)
		}
		entries, _ := os.ReadDir(filepath.Join(c.to.dest, place, "containers.conf.d"))
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") {
				list = append(list, filepath.Join(place, "containers.conf.d", e.Name()))
			}
		}
		for _, f := range list {
			switch {
			case f >= c.to.conf && filepath.Dir(f) == filepath.Dir(c.to.conf):
				passed = true
				if f != c.to.conf {
					after = append(after, f)
				}
			case passed:
				after = append(after, f)
			default:
				before = append(before, f)
			}
		}
	}
	return before, after
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// hookDirs is what a configuration file makes of the directories so far. One that cannot be read makes podman itself
// complain.
func hookDirs(path string, sofar []string) []string {
	var conf struct {
		Engine struct {
			HooksDir []any `toml:"hooks_dir"`
		} `toml:"engine"`
	}
	if _, err := toml.DecodeFile(path, &conf); err != nil || conf.Engine.HooksDir == nil {
		return sofar
	}
	var dirs []string
	more := false
	for _, v := range conf.Engine.HooksDir {
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
