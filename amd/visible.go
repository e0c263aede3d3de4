// Package amd is AMD's contract with GPU images: the grammar of AMD_VISIBLE_DEVICES, as AMD's own container runtime reads
// it (ROCm/container-toolkit, internal/gpu-tracker). It changes nothing and runs nothing.
package amd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
)

// maxIDs and maxValue bound a list of devices, in ids and bytes: more than any host has.
const (
	maxIDs   = 4096
	maxValue = 64 << 10
)

// Dialect is the grammar of AMD_VISIBLE_DEVICES.
type Dialect struct{}

// ParseVisible implements [contract.Dialect].
func (Dialect) ParseVisible(unsafeValue string) (contract.Visible, error) {
	return ParseVisible(unsafeValue)
}

// Unknown implements [contract.Dialect]: AMD's variable takes unique ids, and AMD's Specs do not have them.
func (Dialect) Unknown(unsafeDevice string) (why, hint string) {
	if !UniqueID(unsafeDevice) {
		return "", ""
	}
	return "AMD's Specs name devices by their index, not by their unique id", "ask for the device by its index; amd-smi list shows both"
}

// ParseVisible reads the value of AMD_VISIBLE_DEVICES: a comma list of indices, ranges of indices with both ends ("0-2")
// and unique ids ("0x…"), blanks dropped. "all", "All" and "ALL" mean all devices. "none" and, which Docker writes, "void"
// empty the list. What is none of these stays as it was written: it may be a name that a Spec defines. AMD's runtime
// passes over what it cannot read; here a range that runs backwards or beyond any host is an error.
func ParseVisible(unsafeValue string) (contract.Visible, error) {
	if len(unsafeValue) > maxValue {
		return contract.Visible{}, fmt.Errorf("it is longer than %d bytes", maxValue)
	}
	p := list{seen: map[string]bool{}}
	for element := range strings.SplitSeq(unsafeValue, ",") {
		if err := p.element(strings.TrimSpace(element)); err != nil {
			return contract.Visible{}, err
		}
	}
	switch {
	case p.nothing != "":
		return contract.Visible{Nothing: p.nothing}, nil
	case p.all:
		return contract.Visible{IDs: []string{"all"}}, nil
	case len(p.ids) == 0:
		return contract.Visible{Nothing: "empty"}, nil
	}
	return contract.Visible{IDs: p.ids}, nil
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
