// Package amd is AMD's contract with GPU images: the grammar of AMD_VISIBLE_DEVICES, as AMD's own container runtime reads
// it (ROCm/container-toolkit, internal/gpu-tracker). It changes nothing and runs nothing.
package amd

import (
	"fmt"
	"strconv"
	"strings"
)

// maxIDs and maxValue bound a list of devices, in ids and bytes: more than any host has.
const (
	maxIDs   = 4096
	maxValue = 64 << 10
)

// Visible is what a list of devices asks for.
type Visible struct {
	// IDs are indices, unique ids and names, each once, in the order of the list; ["all"] for all devices.
	IDs []string
	// Nothing is "", or says why nothing at all is asked for: "void", "none" or "empty".
	Nothing string
}

// ParseVisible reads the value of AMD_VISIBLE_DEVICES: a comma list of indices, ranges of indices with both ends ("0-2")
// and unique ids ("0x…"), blanks dropped. "all", "All" and "ALL" mean all devices. "none" and, which Docker writes, "void"
// empty the list. What is none of these stays as it was written: it may be a name that a Spec defines. AMD's runtime
// passes over what it cannot read; here a range that runs backwards or beyond any host is an error.
func ParseVisible(unsafeValue string) (Visible, error) {
	if len(unsafeValue) > maxValue {
		return Visible{}, fmt.Errorf("it is longer than %d bytes", maxValue)
	}
	p := list{seen: map[string]bool{}}
	for element := range strings.SplitSeq(unsafeValue, ",") {
		if err := p.element(strings.TrimSpace(element)); err != nil {
			return Visible{}, err
		}
	}
	switch {
	case p.nothing != "":
		return Visible{Nothing: p.nothing}, nil
	case p.all:
		return Visible{IDs: []string{"all"}}, nil
	case len(p.ids) == 0:
		return Visible{Nothing: "empty"}, nil
	}
	return Visible{IDs: p.ids}, nil
}

// UniqueID reports whether AMD's runtime takes id for a unique id of a GPU: hexadecimal digits after 0x, or more than eight
// of them.
func UniqueID(id string) bool {
	hex, prefixed := strings.CutPrefix(strings.ToLower(id), "0x")
	return (prefixed && hex != "" || len(hex) > 8) && strings.Trim(hex, "0123456789abcdef") == ""
}

type list struct {
	ids     []string
	seen    map[string]bool
	all     bool
	nothing string
}

func (l *list) element(element string) error {
	switch element {
	case "":
		return nil
	case "all", "All", "ALL":
		l.all = true
		return nil
	case "none", "void":
		l.nothing = element
		return nil
	}
	first, last, err := interval(element)
	if err != nil {
		return err
	}
	if last < first {
		return l.add(element)
	}
	for i := first; i <= last; i++ {
		if err := l.add(strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

func (l *list) add(id string) error {
	if l.seen[id] {
		return nil
	}
	if len(l.ids) == maxIDs {
		return fmt.Errorf("more than %d devices are more than any host has", maxIDs)
	}
	l.seen[id] = true
	l.ids = append(l.ids, id)
	return nil
}

// interval reads an index or a range of them. Of anything else the last comes before the first.
func interval(element string) (first, last int, err error) {
	if UniqueID(element) {
		return 0, -1, nil
	}
	from, to, found := strings.Cut(element, "-")
	if !found {
		to = from
	}
	if !number(from) || !number(to) {
		return 0, -1, nil
	}
	first, err = strconv.Atoi(from)
	if err == nil {
		last, err = strconv.Atoi(to)
	}
	switch {
	case err != nil || last >= first+maxIDs:
		return 0, 0, fmt.Errorf("range %q is of more devices than any host has (%d)", element, maxIDs)
	case last < first:
		return 0, 0, fmt.Errorf("range %q runs backwards", element)
	}
	return first, last, nil
}

func number(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
