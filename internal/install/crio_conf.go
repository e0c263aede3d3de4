package install

import (
	"os"
	"path/filepath"
	"slices"
)

// crioConf is CRI-O's configuration as far as it names directories of hook definitions.
type crioConf struct{ *layout }

// advice returns what the administrator must do for CRI-O to read AdminHooks, which it does not do by default. That is
// left to the administrator because CRI-O must be restarted for it. It is nothing where this host has no CRI-O.
func (c crioConf) advice() []Change {
	concerned := c.engine == "cri-o" || c.engine == "" && exists(c.below("/etc/crio"))
	if !c.moved || !concerned || slices.Contains(c.dirs(), c.hooks) {
		return nil
	}
	return []Change{{Action: Unread, Dir: c.hooks}}
}

// dirs returns the directories that CRI-O is configured to read.
func (c crioConf) dirs() []string {
	const dropIns = "/etc/crio/crio.conf.d"
	dirs := hookDirs(c.below("/etc/crio/crio.conf"), []string{SystemHooks})
	entries, _ := os.ReadDir(c.below(dropIns))
	for _, e := range entries {
		dirs = hookDirs(c.below(filepath.Join(dropIns, e.Name())), dirs)
	}
	return dirs
}
