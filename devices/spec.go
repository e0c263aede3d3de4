package devices

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/trust"
)

// maxSpec bounds one Spec file, in bytes.
const maxSpec = 4 << 20

// spec is a CDI Spec file that was read.
type spec struct {
	path     string
	priority int // of its directory: the later one wins
	vendor   string
	class    string
	raw      *cdispecs.Spec
}

// readSpec reads and validates one Spec file by the CDI library's rules. Whoever could write the file could run programs
// as root, so a file that others may change is refused.
func readSpec(path string, priority int, owner trust.Owner) (*spec, error) {
	file, err := owner.OpenFile(path)
	if errors.Is(err, trust.ErrUntrusted) {
		return nil, fault.New(fault.Trust, "", "%w", err).WithHint("chown root:root %s && chmod 644 %s, and the same for its directories", path, path)
	}
	if err != nil {
		return nil, fault.New(fault.NoSpec, "", "%w", err).WithHint("make %s readable, or remove it", path)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSpec+1))
	if err == nil && len(data) > maxSpec {
		err = fmt.Errorf("it is larger than %d MiB", maxSpec>>20)
	}
	var raw *cdispecs.Spec
	if err == nil {
		raw, err = cdi.ParseSpec(data)
	}
	if err == nil {
		err = validate(raw)
	}
	if err != nil {
		return nil, fault.New(fault.Parse, path, "%w", err).WithHint("generate %s anew with the vendor's tool (nvidia-ctk cdi generate --output=FILE)", path)
	}
	vendor, class := parser.ParseQualifier(raw.Kind)
	return &spec{path, priority, vendor, class, raw}, nil
}

// validate applies the CDI library's checks, after the one that it lacks: a null element, which panics it.
func validate(raw *cdispecs.Spec) error {
	if raw == nil {
		return errors.New("it holds nothing")
	}
	if err := cdispecs.ValidateVersion(raw); err != nil {
		return err
	}
	vendor, class := parser.ParseQualifier(raw.Kind)
	if err := parser.ValidateVendorName(vendor); err != nil {
		return fmt.Errorf("kind %q: %w", raw.Kind, err)
	}
	if err := parser.ValidateClassName(class); err != nil {
		return fmt.Errorf("kind %q: %w", raw.Kind, err)
	}
	if err := validateEdits(&raw.ContainerEdits); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range raw.Devices {
		d := &raw.Devices[i]
		if err := parser.ValidateDeviceName(d.Name); err != nil {
			return fmt.Errorf("device %q: %w", d.Name, err)
		}
		if seen[d.Name] {
			return fmt.Errorf("device %q stands twice", d.Name)
		}
		seen[d.Name] = true
		if err := validateEdits(&d.ContainerEdits); err != nil {
			return fmt.Errorf("device %q: %w", d.Name, err)
		}
	}
	return nil
}

func validateEdits(e *cdispecs.ContainerEdits) error {
	if slices.Contains(e.DeviceNodes, nil) || slices.Contains(e.Mounts, nil) || slices.Contains(e.Hooks, nil) || slices.Contains(e.NetDevices, nil) {
		return errors.New("a list of its edits has a null element")
	}
	return (&cdi.ContainerEdits{ContainerEdits: e}).Validate()
}
