package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
)

// maxRecord bounds one record, in bytes. A longer one is kept without its edits.
const maxRecord = 256 << 10

// validID says whether id is what runtimes allow as a container id, and so can be a file name.
func validID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-"
	return id != "" && id[0] != '.' && len(id) <= 200 && strings.Trim(id, allowed) == ""
}

// runDir is where records and private bundles go.
func (c *Config) runDir() string {
	if c.Record.Dir != "" {
		return c.Record.Dir
	}
	return defaultRunDir()
}

// defaultRunDir is /run/gpu-hook, or for a hook in a rootless engine's user namespace the user's own runtime directory:
// there uid 0 stands for the user that /proc/self/uid_map names.
func defaultRunDir() string {
	const rooted = "/run/gpu-hook"
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return rooted
	}
	uid := os.Getuid()
	var inside, outside, count int
	for line := range strings.Lines(string(data)) {
		if n, _ := fmt.Sscan(line, &inside, &outside, &count); n == 3 && inside <= uid && uid < inside+count {
			uid = outside + uid - inside
			break
		}
	}
	if uid == 0 {
		return rooted
	}
	return fmt.Sprintf("/run/user/%d/gpu-hook", uid)
}

// keep writes the report's record. A record that cannot be written is a warning and never fails a start.
func keep(config *Config, report *Report) {
	dir := filepath.Join(config.runDir(), "records")
	if err := writeRecord(dir, config.Record.Keep, report); err != nil {
		report.warn(fault.New(fault.RecordNote, "record of "+report.Container.ID, "%w", err).WithHint("make %s a directory that root alone may write", dir))
	}
}

func writeRecord(dir string, most int, report *Report) error {
	if !validID(report.Container.ID) {
		return fmt.Errorf("%q is no container id", report.Container.ID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || info.Mode().Perm()&0o022 != 0 || int(owner.Uid) != os.Getuid() {
		return errors.New("the directory is not ours alone")
	}
	data, err := json.Marshal(report)
	if err != nil {
		return err
	}
	if len(data) > maxRecord {
		short := *report
		short.Edits = devices.NewEdits()
		short.Warnings = append(slices.Clone(report.Warnings), Message{Code: fault.RecordNote, Message: "the edits are left out: they would make the record too long"})
		if data, err = json.Marshal(&short); err != nil {
			return err
		}
	}
	if len(data) > maxRecord {
		return fmt.Errorf("it is longer than %d bytes", maxRecord)
	}
	if err := replaceFile(dir, report.Container.ID+".json", data); err != nil {
		return err
	}
	return prune(dir, most)
}

// replaceFile puts a file in place in one step, mode 0600.
func replaceFile(dir, name string, data []byte) error {
	file, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

type stored struct {
	name string
	info fs.FileInfo
}

// records lists the records, the newest first.
func records(dir string) ([]stored, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []stored
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		info, err := e.Info()
		if !ok || err != nil {
			continue
		}
		out = append(out, stored{name, info})
	}
	slices.SortFunc(out, func(a, b stored) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	return out, nil
}

func prune(dir string, most int) error {
	list, err := records(dir)
	if err != nil || len(list) <= most {
		return err
	}
	var errs []error
	for _, old := range list[most:] {
		if err := os.Remove(filepath.Join(dir, old.name+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Last reads the newest record, or the one of the container whose id is, or alone begins with, id.
func Last(o Options, id string) (*Report, error) {
	config, err := o.load()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(config.runDir(), "records")
	list, err := records(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Record, dir, "%w", err).WithHint("run it as root")
	}
	found := slices.DeleteFunc(list, func(s stored) bool { return !strings.HasPrefix(s.name, id) })
	if i := slices.IndexFunc(found, func(s stored) bool { return s.name == id }); i >= 0 {
		found = found[i : i+1]
	}
	switch {
	case len(found) == 0 && id == "":
		return nil, fault.New(fault.Record, dir, "there are no records").WithHint("gpu-hook leaves a record only where a container asked for a device; try: gpu-hook explain --bundle DIR")
	case len(found) == 0:
		return nil, fault.New(fault.Record, dir, "there is no record of a container %q", id).WithHint("gpu-hook leaves a record only where a container asked for a device; its id is the engine's, in full or its beginning")
	case id != "" && len(found) > 1:
		return nil, fault.New(fault.Record, dir, "%d containers' ids begin with %q", len(found), id).WithHint("write more of the id")
	}
	data, err := os.ReadFile(filepath.Join(dir, found[0].name+".json"))
	if err != nil {
		return nil, fault.New(fault.Record, dir, "%w", err).WithHint("run it as root")
	}
	report := newReport("")
	if err := json.Unmarshal(data, report); err != nil {
		return nil, fault.New(fault.Record, dir, "record of %s: %w", found[0].name, err).WithHint("remove the file")
	}
	return report, nil
}
