package report

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// IDs returns the ids of the containers that have a record in runDir, sorted. There are none if the directory cannot be
// read or others may write it.
func IDs(runDir string) []string {
	dir := recordsIn(runDir)
	if trust.CheckPrivate(runDir) != nil || trust.CheckPrivate(dir) != nil {
		return nil
	}
	handle, names, err := files(dir)
	if err != nil {
		return nil
	}
	defer handle.Close()
	var ids []string
	for _, name := range names {
		if s, isRecord := storedAs(name); isRecord {
			ids = append(ids, s.id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
