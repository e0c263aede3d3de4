package request

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/nearest"
)

// docker returns the requests that one of Docker's device requests comes to.
func (g *gatherer) docker(template *Request, asked devices.Request) []*Request {
	r := template.With(nil, nil)
	r.Asked, r.Driver = asked, asked.Driver
	ids, err := asked.IDs()
	if err == nil {
		r.Vendors, r.Pin, err = g.choose(asked)
	}
	if err != nil {
		return []*Request{r.mistake(err)}
	}
	r = r.With(r.Vendors, nil)
	if asked.Driver != "" {
		g.chooseCapabilities(r)
	}
	if len(r.Vendors) > 0 {
		r.Capabilities = append(r.Capabilities, r.Selected(r.Vendors[0])...)
	}
	if len(ids) == 0 {
		return []*Request{r.nothing("a count of 0")}
	}
	named := asked.Driver != "" && asked.Driver != config.DriverAnyCDI
	if i := slices.IndexFunc(ids, contract.Reserved); i >= 0 {
		return []*Request{r.mistake(fmt.Errorf("%q is no device: for nothing ask for a count of 0", ids[i]))}
	}
	if named {
		err = g.checkOwn(r, ids)
	}
	if err != nil {
		return []*Request{r.mistake(err)}
	}
	return g.split(r, ids, named)
}

// checkOwn refuses a device of one vendor that is requested of another's driver.
func (g *gatherer) checkOwn(r *Request, ids []string) error {
	own, _, _ := strings.Cut(r.Vendors[0].Kind, "/")
	for _, id := range ids {
		name, err := g.parse(id, r.Vendors)
		if err != nil {
			return err
		}
		if name.Vendor != own {
			return fmt.Errorf("%q is not a device of driver %q", id, r.Driver)
		}
	}
	return nil
}

// choose returns the vendors that a request may go to: that of the named driver, else all whose capability set matches,
// in configured order. For the driver "cdi" there is none, because each qualified name has its own. pin is the one
// driver that the request names, or "".
func (g *gatherer) choose(asked devices.Request) (vendors []*config.Vendor, pin string, err error) {
	switch {
	case asked.Driver == config.DriverAnyCDI && asked.Count != 0:
		return nil, "", fmt.Errorf("driver %q takes qualified device names, not a count", asked.Driver)
	case asked.Driver == config.DriverAnyCDI && len(asked.Options) > 0:
		return nil, "", fmt.Errorf("driver %q takes no options", asked.Driver)
	case asked.Driver == config.DriverAnyCDI:
		return nil, config.DriverAnyCDI, nil
	case asked.Driver != "":
		return g.named(asked)
	}
	for i := range g.config.Vendors {
		if _, ok := asked.Match(g.config.Vendors[i].Capabilities); ok {
			vendors = append(vendors, &g.config.Vendors[i])
		}
	}
	if len(vendors) == 0 {
		return nil, "", fault.New(fault.Request, "", "no vendor has the capabilities %s", capabilities(asked)).
			WithHint("ask for some that one vendor has, such as gpu; gpu-hook devices lists them")
	}
	return vendors, "", nil
}

// named returns the vendor of the named driver, which may be a vendor's name or the name of one of its drivers.
func (g *gatherer) named(asked devices.Request) (chosen []*config.Vendor, pin string, err error) {
	var drivers, vendors []string
	for i := range g.config.Vendors {
		v := &g.config.Vendors[i]
		if asked.Driver == v.Name || slices.Contains(v.Drivers, asked.Driver) {
			if asked.Driver != v.Name {
				pin = asked.Driver
			}
			return []*config.Vendor{v}, pin, nil
		}
		vendors, drivers = append(vendors, v.Name), append(append(drivers, v.Name), v.Drivers...)
	}
	vendors, drivers = append(vendors, config.DriverAnyCDI), append(drivers, config.DriverAnyCDI)
	unknown := fault.New(fault.Request, "", "driver %q is not one of: %s", asked.Driver, strings.Join(vendors, ", ")).
		WithHint("write one of these, or one of the vendor's drivers that gpu-hook devices lists")
	if meant := nearest.Word(asked.Driver, drivers); meant != "" {
		unknown = unknown.WithHint("write driver=%s, if that is meant", meant)
	}
	return nil, "", unknown
}

// capabilities writes an OR of ANDs as "a and b, or c".
func capabilities(asked devices.Request) string {
	var lists []string
	for _, all := range asked.Capabilities {
		lists = append(lists, strings.Join(all, " and "))
	}
	if len(lists) == 0 {
		return "(none asked for)"
	}
	return strings.Join(lists, ", or ")
}
