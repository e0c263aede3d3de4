// Package devices reads requests for devices (Docker's device requests and --gpus syntax, CDI names), resolves them to
// the edits of CDI Specs, and checks that the host has what the edits need. It changes nothing.
package devices

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/parser"

	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// maxCount bounds the count of a request; no host has as many devices. maxRequests bounds a list of requests.
const (
	maxCount    = limits.Devices
	maxRequests = 64
)

// Request is one device request of Docker's API. Its JSON form is that of the API.
type Request struct {
	// Driver is the requested driver, or "".
	Driver string
	// Count is a number of devices. A negative number means all of them. With DeviceIDs it is 0.
	Count int
	// DeviceIDs are ids as the driver's vendor writes them, or qualified CDI names. They are not checked.
	DeviceIDs []string
	// Capabilities are alternatives. Of one of the lists, all capabilities must be available.
	Capabilities [][]string
	// Options are for the driver.
	Options map[string]string
}

// ParseRequests parses either one request in the syntax of Docker's --gpus, see [ParseGPUs], or a JSON list of Docker's
// DeviceRequest objects, which are all requested together.
func ParseRequests(value string) ([]Request, error) {
	if !strings.HasPrefix(strings.TrimSpace(value), "[") {
		if strings.HasPrefix(strings.TrimSpace(value), "{") {
			return nil, errors.New("a device request in JSON must be in a list: put [ and ] around it")
		}
		r, err := ParseGPUs(value)
		return []Request{r}, err
	}
	var list []*Request
	in := json.NewDecoder(strings.NewReader(value))
	in.DisallowUnknownFields()
	if err := in.Decode(&list); err != nil {
		return nil, jsonMistake(err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON list")
	}
	switch {
	case len(list) == 0:
		return nil, errors.New("the list is empty")
	case len(list) > maxRequests:
		return nil, fmt.Errorf("%d requests are too many (%d)", len(list), maxRequests)
	case slices.Contains(list, nil):
		return nil, errors.New("a request of the list is null")
	}
	out := make([]Request, 0, len(list))
	for _, r := range list {
		out = append(out, *r)
	}
	return out, nil
}

// jsonMistake says what is wrong with a JSON list of device requests, without words of the library that reads it.
func jsonMistake(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return fmt.Errorf("%s of a device request cannot be a JSON %s", kind.Field, kind.Value)
	}
	if errors.As(err, &kind) {
		return fmt.Errorf("a device request cannot be a JSON %s", kind.Value)
	}
	if _, key, found := strings.Cut(err.Error(), "unknown field "); found {
		return fmt.Errorf("key %s is not one of a device request: Driver, Count, DeviceIDs, Capabilities, Options", key)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("it is not valid JSON at character %d", syntax.Offset)
	}
	return errors.New("it is not valid JSON: it ends too early")
}

// ParseGPUs parses the value of Docker's --gpus: one CSV record of key=value fields (driver, count, device,
// capabilities, options) or a bare count, which is "all" or a number. Without count and device it requests one device.
// "gpu" is always among the capabilities.
//
// Unlike Docker it accepts a list without quotes: in device=0,1 the bare "1" is an id, and in
// capabilities=compute,utility the bare "utility" is a capability.
func ParseGPUs(value string) (Request, error) {
	in := csv.NewReader(strings.NewReader(value))
	fields, err := in.Read()
	if errors.Is(err, io.EOF) {
		return Request{}, errors.New("it is empty")
	}
	if err != nil {
		return Request{}, errors.New("its quotes do not match: they stand around a whole key=value, as in \"device=0,1\"")
	}
	if _, err := in.Read(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("a second line follows the first")
	}
	p := gpusParser{seen: map[string]bool{}}
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return Request{}, err
		}
	}
	if !p.seen["count"] && !p.seen["device"] {
		p.request.Count = 1
	}
	p.request.Capabilities = [][]string{append(p.capabilities, "gpu")}
	return p.request, nil
}

// GPUsKeys returns the keys of the record that [ParseGPUs] parses.
func GPUsKeys() []string { return []string{"driver", "count", "device", "capabilities", "options"} }

// Match returns the first of the request's capability lists whose capabilities are all in set, and whether there is
// one. In a nil set there is none, not even an empty list.
func (r Request) Match(set []string) (selected []string, ok bool) {
	if set == nil {
		return nil, false
	}
	for _, all := range r.Capabilities {
		if !slices.ContainsFunc(all, func(c string) bool { return !slices.Contains(set, c) }) {
			return all, true
		}
	}
	return nil, false
}

type gpusParser struct {
	request      Request
	capabilities []string
	seen         map[string]bool
	// list is the key of the last field if its value is a list, and else "".
	list string
}

func (p *gpusParser) field(field string) error {
	key, value, found := strings.Cut(field, "=")
	if !found || p.continues(field) {
		return p.bare(field)
	}
	p.list = ""
	if p.seen[key] {
		return fmt.Errorf("key %q is given twice", key)
	}
	p.seen[key] = true
	switch key {
	case "driver":
		p.request.Driver = value
	case "count":
		return p.count(value)
	case "device":
		p.list = key
		p.request.DeviceIDs = strings.Split(value, ",")
	case "capabilities":
		p.list = key
		p.capabilities = strings.Split(value, ",")
	case "options":
		return p.options(value)
	default:
		return fmt.Errorf("unexpected key %q in %q (keys: %s)", key, field, strings.Join(GPUsKeys(), ", "))
	}
	return nil
}

// continues reports whether a field that has a "=" is the next id of a device list without quotes: a qualified CDI
// name.
func (p *gpusParser) continues(field string) bool {
	return p.list == "device" && parser.IsQualifiedName(field)
}

// bare parses a field without a key: a count, or the next element of a list without quotes.
func (p *gpusParser) bare(field string) error {
	_, err := parseCount(field)
	isCount := err == nil
	switch {
	case p.list == "device":
		p.request.DeviceIDs = append(p.request.DeviceIDs, strings.Split(field, ",")...)
		return nil
	case p.list == "capabilities" && !isCount:
		p.capabilities = append(p.capabilities, strings.Split(field, ",")...)
		return nil
	case p.seen["count"]:
		return fmt.Errorf("the count is given twice, the second time as %q", field)
	}
	p.seen["count"] = true
	return p.count(field)
}

func (p *gpusParser) count(value string) error {
	n, err := parseCount(value)
	if err != nil {
		return err
	}
	p.request.Count = n
	return nil
}

func (p *gpusParser) options(value string) error {
	p.request.Options = map[string]string{}
	for _, option := range strings.Split(value, ",") {
		k, v, found := strings.Cut(option, "=")
		if !found || k == "" {
			return fmt.Errorf("option %q is not of the form key=value", option)
		}
		p.request.Options[k] = v
	}
	return nil
}

func parseCount(value string) (int, error) {
	if value == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf(`count %q is neither "all" nor a whole number`, value)
	}
	return n, nil
}

// IDs returns the ids that the request means before it is known which devices the host has: the ids as given, "0" to
// "n-1" for a count of n, "all" for a negative count, and none for a count of 0. Which devices of the host a count or
// "all" means is decided by [Registry.First] and [Registry.Whole].
//
// A request with both a count and ids, with an empty id, or with a count above that of any host is an error.
func (r Request) IDs() ([]string, error) {
	switch {
	case r.Count != 0 && len(r.DeviceIDs) > 0:
		return nil, errors.New("it has both a count and device ids")
	case r.Count < 0:
		return []string{"all"}, nil
	case r.Count > maxCount:
		return nil, fmt.Errorf("count %d is more than any host has (%d)", r.Count, maxCount)
	}
	ids := make([]string, 0, max(r.Count, len(r.DeviceIDs)))
	for i := range r.Count {
		ids = append(ids, strconv.Itoa(i))
	}
	for _, id := range r.DeviceIDs {
		if id == "" {
			return nil, errors.New("a device id is empty")
		}
		ids = append(ids, id)
	}
	return ids, nil
}
