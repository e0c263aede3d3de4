package checkup

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// Inventory returns the vendors, drivers and devices of this host, and the sources that count for each engine. It
// returns an error only if the configuration cannot be read; all other problems are listed in the inventory.
func Inventory(o config.Options) (*report.Inventory, error) {
	c, err := o.Load()
	if err != nil {
		return nil, err
	}
	registry := devices.Load(c.CDI.SpecDirs, c.Self.Owner)
	i := &report.Inventory{
		Vendors: []report.VendorInfo{}, Devices: registry.Devices(), Conflicts: registry.Conflicts(),
		Sources: []report.SourcesInfo{sourcesOf(c, "")}, Errors: []report.Message{},
	}
	for _, v := range c.Vendors {
		i.Vendors = append(i.Vendors, describeVendor(c, &v, registry))
	}
	for _, engine := range slices.Sorted(maps.Keys(c.Engines)) {
		i.Sources = append(i.Sources, sourcesOf(c, engine))
	}
	for _, problem := range append(registry.Problems(), registry.Notes()...) {
		i.Errors = append(i.Errors, report.MessageOf(problem))
	}
	for n := range c.Vendors {
		for _, l := range lacking(c, &c.Vendors[n], registry) {
			i.Errors = append(i.Errors, report.MessageOf(l.note))
		}
	}
	return i, nil
}

// describeVendor returns what a vendor is configured with, and which of its drivers this host has.
func describeVendor(c *config.Config, v *config.Vendor, registry *devices.Registry) report.VendorInfo {
	info := report.VendorInfo{
		Name: v.Name, Kind: v.Kind, Env: v.Env, Capabilities: append([]string{}, v.Capabilities...),
		Drivers: []report.DriverInfo{},
	}
	for _, name := range v.Drivers {
		d := report.DriverInfo{Name: name, Paths: []string{}}
		var err error
		if strings.HasSuffix(name, config.DriverRuntimeHook) {
			err = c.ContractOf(v).Found()
			d.Paths = append(d.Paths, v.RuntimeHook)
		} else {
			d.Paths = registry.Specs(v.Kind)
			_, err = registry.Files(v.Kind)
		}
		d.Found = err == nil
		if err != nil {
			d.Paths, d.Reason = []string{}, report.MessageOf(err).Message
		}
		info.Drivers = append(info.Drivers, d)
	}
	return info
}

// sourcesOf returns the sources that count for an engine's containers. The engine "" is any that the configuration does
// not name.
func sourcesOf(c *config.Config, engine string) report.SourcesInfo {
	sources, _ := c.SourcesFor(engine, "", false)
	info := report.SourcesInfo{Engine: engine, Sources: append([]string{}, sources...), Namespaces: map[string][]string{}}
	if e := c.Engines[engine]; e != nil {
		maps.Copy(info.Namespaces, e.Namespaces)
	}
	return info
}

// Rules is the part of the configuration that concerns an installation.
type Rules struct {
	Counted []string      // sources of requests that count for the engine's containers, highest first
	Closed  []string      // sources that do not count for them
	Timeout time.Duration // how long one run may take
}

// RulesFor returns the rules for an engine's containers. It returns an error if the configuration cannot be read.
func RulesFor(o config.Options, engine string) (Rules, error) {
	c, err := o.Load()
	if err != nil {
		return Rules{}, err
	}
	r := Rules{Timeout: time.Duration(c.Limits.Timeout)}
	r.Counted, _ = c.SourcesFor(engine, "", false)
	for _, s := range config.Sources() {
		if !slices.Contains(r.Counted, s) {
			r.Closed = append(r.Closed, s)
		}
	}
	return r, nil
}
