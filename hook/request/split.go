package request

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// split makes one request per vendor of the ids. An id without a kind goes to the template's vendors, a qualified name
// to the configured vendor of its kind or, if there is none, to the vendor part of the kind. Beside names of one of the
// template's vendors, ids without a kind are that vendor's too. If fixed, the template's vendor gets all ids.
func (g *gatherer) split(template *Request, ids []string, fixed bool) []*Request {
	var bare []string
	var owners owners
	parts := map[string][]string{}
	for _, id := range ids {
		name, err := g.parse(id, template.Vendors)
		if err != nil {
			return []*Request{template.With(template.Vendors, nil).mistake(err)}
		}
		if fixed || !strings.Contains(id, "=") {
			bare = append(bare, id)
			continue
		}
		if v := g.config.OfKind(name.Kind()); v != nil {
			owners.add(v.Name, id)
		} else if v, _ := g.config.OfPart(name.Kind()); v != nil {
			parts[name.Kind()] = append(parts[name.Kind()], name.Device)
		} else {
			owners.add(name.Vendor, id)
		}
	}
	out := g.parts(template, parts)
	if owner := owners.only(template.Vendors); len(bare) > 0 && owner != "" {
		owners.ids[owner] = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
			return strings.Contains(id, "=") && !slices.Contains(owners.ids[owner], id)
		})
	} else if len(bare) > 0 {
		out = append(out, template.With(template.Vendors, bare))
	}
	for _, owner := range owners.order {
		out = append(out, g.owned(template, owner, owners.ids[owner]))
	}
	return out
}

// owners are vendors, by name, in the order of their first id.
type owners struct {
	order []string
	ids   map[string][]string
}

func (o *owners) add(owner, id string) {
	if o.ids == nil {
		o.ids = map[string][]string{}
	}
	if o.ids[owner] == nil {
		o.order = append(o.order, owner)
	}
	o.ids[owner] = append(o.ids[owner], id)
}

// only returns the one of the vendors that is among the owners, "" if there is none or more than one.
func (o *owners) only(vendors []*config.Vendor) string {
	found := ""
	for _, v := range vendors {
		if o.ids[v.Name] == nil {
			continue
		}
		if found != "" {
			return ""
		}
		found = v.Name
	}
	return found
}

// owned returns the request for ids of one owner, which need not be configured.
func (g *gatherer) owned(template *Request, owner string, ids []string) *Request {
	v := g.config.Vendor(owner)
	if v == nil {
		r := template.With(nil, ids)
		r.Vendor = owner
		return r
	}
	return template.With([]*config.Vendor{v}, ids).of(v)
}

// parts returns the requests for parts of vendors' contracts; ids are by the part's kind.
func (g *gatherer) parts(template *Request, ids map[string][]string) []*Request {
	var out []*Request
	for i := range g.config.Vendors {
		v := &g.config.Vendors[i]
		for _, part := range g.config.ContractOf(v).Parts() {
			if len(ids[part.Kind]) > 0 {
				out = append(out, g.part(template.of(v), part, ids[part.Kind]))
			}
		}
	}
	return out
}

// part returns the request for a list of ids of a part.
func (g *gatherer) part(template *Request, part contract.Part, unsafeIDs []string) *Request {
	r := template.With(template.Vendors, nil)
	ids, err := part.Parse(unsafeIDs)
	if err == nil {
		r = template.With(template.Vendors, ids)
	}
	r.Part, r.PartKind, r.Weak = part.Name, part.Kind, false
	switch {
	case err != nil:
		return r.mistake(fault.New(fault.Request, "", "%w", err).WithHint("%s", part.Hint))
	case len(ids) == 0:
		return r.nothing("no " + part.Noun)
	}
	return r
}

// listed returns the requests for a list of devices that was read, or the mistake in it.
func (g *gatherer) listed(template *Request, v contract.Visible, err error) []*Request {
	switch {
	case err != nil:
		return []*Request{template.With(template.Vendors, nil).mistake(err)}
	case v.Nothing != "":
		return []*Request{template.With(template.Vendors, nil).nothing(v.Nothing)}
	case v.None:
		// Without the files nobody lacks a device that was asked for: a wish will do.
		r := template.With(template.Vendors, nil)
		r.Files, r.Weak = true, true
		return []*Request{r}
	}
	return g.split(template, v.IDs, false)
}

// parse checks an id: a qualified CDI name, or one of the vendors' own.
func (g *gatherer) parse(id string, vendors []*config.Vendor) (devices.Name, error) {
	kind := ""
	if len(vendors) > 0 {
		kind = vendors[0].Kind
	}
	if slices.ContainsFunc(vendors, func(v *config.Vendor) bool { return g.config.ContractOf(v).IsID(id) }) {
		return nameOf(id, kind), nil
	}
	name, err := devices.ParseName(id, kind)
	if err == nil && name.Vendor == "" {
		err = fmt.Errorf("%q has no kind: a device is asked for here by its qualified name (vendor.com/class=name)", id)
	}
	return name, err
}

// nameOf returns the name of an id that was checked before.
func nameOf(id, kind string) devices.Name {
	name, err := devices.ParseName(id, kind)
	if err != nil {
		domain, class, _ := strings.Cut(kind, "/")
		return devices.Name{Vendor: domain, Class: class, Device: id}
	}
	return name
}
