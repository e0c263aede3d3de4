// Package idmap reads the id maps of user namespaces, /proc/PID/uid_map and gid_map. They map the ids inside a user
// namespace to ids outside of it.
package idmap

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	// allIDs is how many ids the initial user namespace maps.
	allIDs = 1<<32 - 1
	// unmapped is the id that the kernel shows in place of an id that the reader's user namespace does not map.
	unmapped = 1<<32 - 1
)

// Map is the content of a map file, in the kernel's order.
type Map []Range

// Range maps Count ids, from Inside on, to the ids from Outside on. The latter are as the reader's user namespace
// numbers them.
type Range struct{ Inside, Outside, Count int64 }

// Read reads the map file at path.
func Read(path string) (Map, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := Parse(string(data))
	if err != nil {
		return nil, &os.PathError{Op: "parse", Path: path, Err: err}
	}
	return m, nil
}

// Parse reads the text of a map file. Every line holds three decimal numbers of 32 bits. A line that the kernel does
// not write is an error: guessing at it could make an ordinary user pass for root.
func Parse(text string) (Map, error) {
	var m Map
	for line := range strings.Lines(text) {
		r, err := parseRange(line)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
		}
		m = append(m, r)
	}
	return m, nil
}

// parseRange reads one line of a map file.
func parseRange(line string) (Range, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return Range{}, fmt.Errorf("%d fields, not 3", len(fields))
	}
	var numbers [3]int64
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return Range{}, err
		}
		numbers[i] = int64(n)
	}
	r := Range{Inside: numbers[0], Outside: numbers[1], Count: numbers[2]}
	if r.Inside+r.Count > unmapped || (r.Outside != unmapped && r.Outside+r.Count > unmapped) {
		return Range{}, fmt.Errorf("ids beyond %d", int64(unmapped-1))
	}
	return r, nil
}

// Outside returns the id outside of the user namespace that an id inside is mapped to, and false if there is none.
func (m Map) Outside(id int) (int, bool) {
	for _, r := range m {
		offset := int64(id) - r.Inside
		if offset >= 0 && offset < r.Count && r.Outside != unmapped {
			return int(r.Outside + offset), true
		}
	}
	return 0, false
}

// Initial reports whether the map is that of the initial user namespace, which maps every id to itself.
func (m Map) Initial() bool { return len(m) == 1 && m[0] == Range{0, 0, allIDs} }
