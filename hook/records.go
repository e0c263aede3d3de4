package hook

import "github.com/gpu-hook/gpu-hook/hook/report"

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
