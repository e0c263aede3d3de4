package hook

import (
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
)

// Recorded returns the ids of the containers that have a record which this user may read, sorted.
func Recorded(o Options) []string {
	c, _ := o.Load() // a configuration that cannot be read hides no records, as with Last
	return report.IDs(c.RunDir())
}

// All returns all records that this user may read, the newest first.
func All(o Options) (*report.History, error) {
	c, _ := o.Load() // as with Recorded
	return report.All(c.RunDir())
}

// Known is a container as a command can be told of it.
type Known struct {
	Word  string // its name or, if IsID, the beginning of its id
	About string
	IsID  bool
}

// Containers returns the containers of the engines that the view has, those with a name by name, and all of them by the
// beginning of their id. Names that are no words to a shell are left out.
func Containers(view containers.View) []Known {
	list, _ := containers.List(view)
	var out []Known
	for i := range list {
		c := &list[i]
		about := c.String()
		names := c.Names
		if c.PodContainer != "" {
			names = []string{c.Name()}
		}
		for _, name := range names {
			if containers.IsWord(name) {
				out = append(out, Known{name, about, false})
			}
		}
		out = append(out, Known{c.ShortID(), about, true})
	}
	return out
}
