package report

import (
	"os"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// IDs returns the ids of the containers that have a record in runDir, sorted. There are none if the directory cannot be
// read or others may write it.
func IDs(runDir string) []string {
	dir := recordsIn(runDir)
	if trust.CheckPrivate(runDir) != nil || trust.CheckPrivate(dir) != nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var ids []string
	for _, e := range entries {
		if id, isRecord := strings.CutSuffix(e.Name(), ".json"); isRecord && validID(id) {
			ids = append(ids, id)
		}
	}
	return ids
}
