// Package amd is AMD's contract with GPU images: the grammar of AMD_VISIBLE_DEVICES. It follows AMD's own container
// runtime (ROCm/container-toolkit, internal/gpu-tracker). It changes nothing and runs nothing.
package amd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// maxIDs and maxValue bound a list of devices, in ids and in bytes. No host has as many devices.
const (
	maxIDs   = limits.Devices
	maxValue = limits.Value
)

// Dialect is the grammar of AMD_VISIBLE_DEVICES.
type Dialect struct{}

// ParseVisible implements [contract.Dialect].
func (Dialect) ParseVisible(unsafeValue string) (contract.Visible, error) {
	return ParseVisible(unsafeValue)
}

// Unknown implements [contract.Dialect]. AMD's variable may name devices by unique ids, but AMD's Specs do not.
func (Dialect) Unknown(unsafeDevice string) (why, hint string) {
	if !UniqueID(unsafeDevice) {
		return "", ""
	}
	return "AMD's Specs name devices by their index, not by their unique id",
		"ask for the device by its index; amd-smi list shows both"
}

// ParseVisible reads the value of AMD_VISIBLE_DEVICES: a list, separated by commas, of indices, of ranges of indices
// that include both ends ("0-2"), and of unique ids ("0x…"). Blanks are dropped. "all", "All" and "ALL" mean all
// devices. "none", and "void", which Docker writes, empty the list. Any other element stays as it was written, because
// it may be a name that a Spec defines.
//
// A range that runs backwards, or has more devices than any host, is an error. AMD's runtime ignores what it cannot
// read.
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

// UniqueID reports whether AMD's runtime takes id for the unique id of a GPU: hexadecimal digits after 0x, or more than
// eight hexadecimal digits without it.
func UniqueID(id string) bool {
	hex, prefixed := strings.CutPrefix(strings.ToLower(id), "0x")
	return (prefixed && hex != "" || len(hex) > 8) && strings.Trim(hex, "0123456789abcdef") == ""
}

// list is what the elements that have been read come to.
type list struct {
	ids     []string
	seen    map[string]bool // the ids
	all     bool
	nothing string // the element that empties the list, or ""
}

// element reads one element, without blanks around it.
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

// add adds an id that the list does not have yet.
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

// interval reads an index or a range of indices. For any other element it returns a last that is less than the first.
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

// number reports whether the text is a decimal number without a sign.
func number(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
