package nvidia

import "github.com/gpu-hook/gpu-hook/contract"

// Compatible is the contract of a vendor without rules of its own. If the vendor has a hook, it is run as NVIDIA's is:
// with the argument "prestart", on a config.json whose environment names the devices.
type Compatible struct {
	contract.None
	Toolkit  Toolkit
	Variable string // the visible-devices variable that the hook reads
}

// Found implements [contract.Delegate].
func (c Compatible) Found() error { return c.Toolkit.Found() }

// Run implements [contract.Delegate].
func (c Compatible) Run(o contract.Order) (*contract.Delegation, error) {
	return c.Toolkit.Delegate(c.request(o))
}

// request returns the order in the hook's terms, without what only NVIDIA's hook knows.
func (c Compatible) request(o contract.Order) Request {
	return Request{
		Container: o.Container.Container, Root: o.Container.Root, Variable: c.Variable, IDs: o.IDs, FromEnv: o.FromEnv,
	}
}
