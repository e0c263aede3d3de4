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

// Inventory tells what this host has to give. It is an error only if the configuration cannot be read; all else that is
// wrong stands in it.
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
	return i, nil
}

func describeVendor(c *config.Config, v *config.Vendor, registry *devices.Registry) report.VendorInfo {
	info := report.VendorInfo{Name: v.Name, Kind: v.Kind, Env: v.Env, Capabilities: append([]string{}, v.Capabilities...), Drivers: []report.DriverInfo{}}
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

func sourcesOf(c *config.Config, engine string) report.SourcesInfo {
	sources, _ := c.SourcesFor(engine, "", false)
	info := report.SourcesInfo{Engine: engine, Sources: append([]string{}, sources...), Namespaces: map[string][]string{}}
	if e := c.Engines[engine]; e != nil {
		maps.Copy(info.Namespaces, e.Namespaces)
	}
	return info
}

// Rules are what of the configuration concerns an installation.
type Rules struct {
	Counted, Closed []string      // sources of requests that count for the engine, and that do not
	Timeout         time.Duration // of one run
}

// RulesFor returns the rules for an engine's containers.
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
