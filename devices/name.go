package devices

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/parser"
)

// Name is a CDI device name in its parts: "nvidia.com/gpu=0" is vendor nvidia.com, class gpu, device 0.
type Name struct {
	Vendor, Class, Device string
}

// Kind returns "vendor/class".
func (n Name) Kind() string { return n.Vendor + "/" + n.Class }

// String returns the qualified name.
func (n Name) String() string { return parser.QualifiedName(n.Vendor, n.Class, n.Device) }

// ParseName parses a qualified CDI name. An unqualified id is that of a device of the given kind.
func ParseName(id, kind string) (Name, error) {
	if strings.ContainsAny(id, "=/") {
		vendor, class, device, err := parser.ParseQualifiedName(id)
		if err != nil {
			return Name{}, fmt.Errorf("%q is not a CDI device name (vendor.com/class=name)", id)
		}
		return Name{vendor, class, device}, nil
	}
	if err := parser.ValidateDeviceName(id); err != nil {
		return Name{}, fmt.Errorf("%q is not a device id: it may have letters, digits and . : _ - alone", id)
	}
	vendor, class := parser.ParseQualifier(kind)
	return Name{vendor, class, id}, nil
}

// Annotated is what one annotation requests by CDI's rules.
type Annotated struct {
	Key, Value string
	// Names are the qualified names of the devices. If the value is not a list of such names, Err says why and Names is
	// nil.
	Names []Name
	Err   error
}

// FromAnnotations returns the requests of those annotations whose keys begin with one of the prefixes, sorted by key.
func FromAnnotations(unsafeAnnotations map[string]string, prefixes []string) []Annotated {
	var out []Annotated
	for _, key := range slices.Sorted(maps.Keys(unsafeAnnotations)) {
		if !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
			continue
		}
		a := Annotated{Key: key, Value: unsafeAnnotations[key]}
		for id := range strings.SplitSeq(a.Value, ",") {
			vendor, class, device, err := parser.ParseQualifiedName(id)
			if err != nil {
				a.Names, a.Err = nil, fmt.Errorf("%q is not a CDI device name (vendor.com/class=name)", id)
				break
			}
			a.Names = append(a.Names, Name{vendor, class, device})
		}
		out = append(out, a)
	}
	return out
}
