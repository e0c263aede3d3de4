package rules

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// systemdTimeout bounds the whole exchange with systemd: a bus that does not answer must not hold up a container's
// start.
const systemdTimeout = 3 * time.Second

// systemd is its name on the bus.
const systemd = "org.freedesktop.systemd1"

// runtimeDir exists if and only if systemd is the system's manager: sd_booted(3).
const runtimeDir = "/run/systemd/system"

// tellSystemd makes systemd allow the rules' devices in the container's scope, if its cgroup belongs to one. At each
// daemon-reload systemd sets the scope's rules again from its own list, and rules that it does not know of are lost.
// tellSystemd returns the paths of the pinned programs that systemd attaches to the scope instead of having a list. If
// systemd cannot be told, that is a note and no error.
func tellSystemd(
	ctx context.Context, asked *Question, v1, v2 ownGroup, rules []Rule, result *Outcome,
) (pins []string) {
	unit := v2.unit
	if unit == "" {
		unit = v1.unit
	}
	if !systemScope(unit) {
		return nil
	}
	_, err := os.Stat(runtimeDir)
	if err != nil {
		err = errors.New("systemd is not running")
	} else {
		pins, err = tellScope(ctx, endpoints(), asked, unit, rules)
	}
	if err != nil {
		result.note(fault.New(fault.CgroupNote, "systemd's unit "+path.Base(unit),
			"access to the devices will be lost at its next daemon-reload: %w", err).
			WithHint("see that systemd and its bus answer (systemctl status dbus), or use the cgroupfs manager; " +
				"if access is lost, start the container again"))
	}
	return pins
}

// systemScope reports whether the cgroup has the name of a scope of the system's manager. A user's manager does not set
// device rules.
func systemScope(group string) bool {
	return strings.HasSuffix(group, ".scope") && !strings.Contains(group, "/user@")
}

// tellScope adds the rules to the list of devices that systemd keeps for the scope, and reads the list back. Two kinds
// of scope stay as they are: one without a list, since its first entry would deny every other device, and one whose
// cgroup is not this one, since it is another container's. What systemd has answered to asked is not asked again.
func tellScope(
	ctx context.Context, at []endpoint, asked *Question, group string, rules []Rule,
) (pins []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, systemdTimeout)
	defer cancel()
	s, err := asked.take(ctx, group)
	if s == nil && err == nil {
		s, err = openSession(ctx, at, group)
	}
	if err != nil {
		return nil, err
	}
	defer s.close()
	policy := s.policy
	if policy.group != group {
		return nil, nil
	}
	missing := policy.missing(rules)
	if !policy.lists() || len(missing) == 0 {
		return policy.pins(), nil
	}
	if policy, err = s.extend(path.Base(group), missing); err != nil {
		return nil, err
	}
	if still := policy.missing(rules); len(still) > 0 {
		return nil, fmt.Errorf("set DeviceAllow: systemd accepted it, but does not list %v", still)
	}
	return policy.pins(), nil
}

// session is a connection to systemd, with what systemd has said of a scope.
type session struct {
	*manager
	policy policy
}

// openSession connects to systemd and asks it about the scope of this cgroup.
func openSession(ctx context.Context, at []endpoint, group string) (*session, error) {
	m, err := connect(ctx, at)
	if err != nil {
		return nil, err
	}
	s := &session{manager: m}
	scope := path.Base(group)
	answers, err := m.ask(readPolicy(scope)...)
	if err != nil {
		err = fmt.Errorf("read the properties of %s: %w", scope, err)
	} else {
		s.policy, err = policyOf(scope, answers)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return s, nil
}

// extend adds the entries to the list of the scope and returns its policy, read back.
func (m *manager) extend(scope string, entries []pair) (policy, error) {
	type property struct {
		Name  string
		Value dbus.Variant
	}
	// systemd keeps this below /run for as long as the scope exists.
	set := call(systemd, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "SetUnitProperties",
		scope, true, []property{{"DeviceAllow", dbus.MakeVariant(entries)}})
	answers, err := m.ask(append([]*dbus.Message{set}, readPolicy(scope)...)...)
	if err == nil {
		err = failure(answers[0])
	}
	if err != nil {
		return policy{}, fmt.Errorf("set DeviceAllow: %w", err)
	}
	// systemd answers after it has attached a program made from the new list, so allowV2 finds that program.
	return policyOf(scope, answers[1:])
}

// pair is an element of a D-Bus property of type a(ss).
type pair struct{ Key, Value string }

// policy is what systemd's properties of a scope say about its devices.
type policy struct {
	group    string // ControlGroup, "" for a scope that systemd does not have
	device   string // DevicePolicy
	allow    []pair // DeviceAllow, of path and permissions
	programs []pair // BPFProgram, of attach type and path
}

// properties are those of a scope that its policy consists of. For all properties of a scope, systemd would also read
// the figures of its cgroup.
func properties() []string {
	return []string{"ControlGroup", "DevicePolicy", "DeviceAllow", "BPFProgram"}
}

// readPolicy returns the calls for the properties of the scope.
func readPolicy(scope string) []*dbus.Message {
	var calls []*dbus.Message
	for _, name := range properties() {
		calls = append(calls, call(systemd, unitPath(scope), "org.freedesktop.DBus.Properties", "Get",
			"org.freedesktop.systemd1.Scope", name))
	}
	return calls
}

// policyOf decodes the answers to [readPolicy]. A property that this systemd does not have is empty.
func policyOf(scope string, answers []*dbus.Message) (policy, error) {
	values := map[string]any{}
	for i, name := range properties() {
		err := failure(answers[i])
		var unknown dbus.Error
		switch {
		case errors.As(err, &unknown) && unknown.Name == "org.freedesktop.DBus.Error.UnknownProperty":
		case err != nil:
			return policy{}, fmt.Errorf("read the properties of %s: %w", scope, err)
		case len(answers[i].Body) == 1:
			value, _ := answers[i].Body[0].(dbus.Variant)
			values[name] = value.Value()
		}
	}
	p := policy{allow: pairs(values["DeviceAllow"]), programs: pairs(values["BPFProgram"])}
	p.group, _ = values["ControlGroup"].(string)
	p.device, _ = values["DevicePolicy"].(string)
	return p, nil
}

// pairs decodes a property of type a(ss) as the D-Bus library returns it. For anything else it returns none.
func pairs(property any) (out []pair) {
	list, _ := property.([][]any)
	for _, element := range list {
		if len(element) != 2 {
			continue
		}
		key, _ := element[0].(string)
		value, _ := element[1].(string)
		out = append(out, pair{key, value})
	}
	return out
}

// lists reports whether the list of devices is in force.
func (p policy) lists() bool { return p.device == "strict" || p.device == "closed" || len(p.allow) > 0 }

// missing returns the entries that must be added to the list for the rules. A new entry replaces an old one of the same
// path, so it includes the permissions of the old one.
func (p policy) missing(rules []Rule) (out []pair) {
	for _, r := range rules {
		name := fmt.Sprintf("/dev/char/%d:%d", r.major, r.minor)
		if r.kind == "b" {
			name = fmt.Sprintf("/dev/block/%d:%d", r.major, r.minor)
		}
		named := func(e pair) bool { return e.Key == name }
		have := ""
		if i := slices.IndexFunc(p.allow, named); i >= 0 {
			have = p.allow[i].Value
		}
		i := slices.IndexFunc(out, named)
		if i >= 0 {
			have = out[i].Value
		}
		want := union(have, r.permissions)
		switch {
		case want == have:
		case i >= 0:
			out[i].Value = want
		default:
			out = append(out, pair{name, want})
		}
	}
	return out
}

// union returns the permissions that are in a or in b, in systemd's order.
func union(a, b string) (out string) {
	for _, p := range "rwm" {
		if strings.ContainsRune(a+b, p) {
			out += string(p)
		}
	}
	return out
}

// pins returns the paths of the pinned device programs that systemd attaches to the scope.
func (p policy) pins() (out []string) {
	for _, program := range p.programs {
		if program.Key == "device" {
			out = append(out, program.Value)
		}
	}
	return out
}
