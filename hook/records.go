package hook

import "github.com/gpu-hook/gpu-hook/hook/report"

// Recorded returns the ids of the containers that have a record which this user may read, sorted.
func Recorded(o Options) []string {
	c, _ := o.Load() // a configuration that cannot be read hides no records, as with Last
	return report.IDs(c.RunDir())
}
