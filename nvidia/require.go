package nvidia

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// Answer tells whether a requirement is met. The order matters: of several requirements that must all hold, the least
// answer counts; of several of which one must hold, the greatest.
type Answer int

// Answers.
const (
	Unmet Answer = iota
	Unknown
	Met
)

// Requirement is one of an image's requirements, with the variable that states it.
type Requirement struct {
	Variable, Value string
	terms           []term // at least one must hold; if there are none, the requirement is met
}

// term is a list of clauses that must all hold.
type term []clause

// clause is one comparison, such as cuda>=12.4.
type clause struct {
	property, operator, value string
	number                    version // the value as a version; not set for brand
}

func (c clause) String() string { return c.property + c.operator + c.value }

// Requirements returns what the container's NVIDIA_REQUIRE_* variables require, and what a legacy image's CUDA_VERSION
// requires, sorted by the variable's name. There are none if NVIDIA_DISABLE_REQUIRE is true.
//
// In a value a space means "or" and a comma means "and", which binds tighter. NVIDIA_REQUIRE_JETPACK* variables and
// clauses about unknown properties are ignored. A clause that cannot be read is an error.
func Requirements(c *state.Container) ([]Requirement, error) {
	off, _ := c.Env(DisableRequire)
	if disabled, err := strconv.ParseBool(off); err == nil && disabled {
		return nil, nil
	}
	values := map[string]string{}
	for _, entry := range c.Environment() {
		name, value, found := strings.Cut(entry, "=")
		if found && strings.HasPrefix(name, RequirePrefix) && !strings.HasPrefix(name, RequirePrefix+"JETPACK") {
			values[name] = value
		}
	}
	if LegacyImage(c) {
		stated, _ := c.Env(CUDAVersion)
		number, err := parseVersion(stated)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", CUDAVersion, err)
		}
		values[CUDAVersion] = "cuda>=" + number.String()
	}
	if len(values) > limits.Requirements {
		return nil, fmt.Errorf("%d variables %s* are too many (%d)", len(values), RequirePrefix, limits.Requirements)
	}
	var out []Requirement
	for _, name := range slices.Sorted(maps.Keys(values)) {
		r, err := parseRequirement(name, values[name])
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// parseRequirement reads the value of the variable with this name.
func parseRequirement(name, value string) (Requirement, error) {
	r := Requirement{Variable: name, Value: value}
	if len(value) > limits.Value {
		return Requirement{}, fmt.Errorf("%s: it is longer than %d bytes", name, limits.Value)
	}
	for alternative := range strings.FieldsSeq(value) {
		var t term
		for text := range strings.SplitSeq(alternative, ",") {
			c, known, err := parseClause(text)
			if err != nil {
				return Requirement{}, fmt.Errorf("%s: %w", name, err)
			}
			if known {
				t = append(t, c)
			}
		}
		if len(t) > 0 {
			r.terms = append(r.terms, t)
		}
	}
	return r, nil
}

// parseClause reads one comparison. known reports whether its property is one that gpu-hook knows.
func parseClause(text string) (c clause, known bool, err error) {
	const operators = "<>=!"
	i := strings.IndexAny(text, operators)
	if i < 0 {
		return clause{}, false, fmt.Errorf("clause %q has no operator", text)
	}
	j := i + len(text[i:]) - len(strings.TrimLeft(text[i:], operators))
	c = clause{property: text[:i], operator: text[i:j], value: text[j:]}
	if !slices.Contains([]string{"=", "!=", "<", "<=", ">", ">="}, c.operator) {
		return clause{}, false, fmt.Errorf("clause %q has no operator that is known", text)
	}
	switch c.property {
	case "brand":
		return c, true, nil
	case "cuda", "driver", "arch":
		c.number, err = parseVersion(c.value)
		if err != nil {
			err = fmt.Errorf("clause %q: %w", text, err)
		}
		return c, true, err
	}
	return clause{}, false, nil
}

// Check reports whether the driver meets the requirement. If it does not, or if that is not known, Check also returns
// the clauses that are the reason.
func (r Requirement) Check(d Driver) (Answer, []string) {
	if len(r.terms) == 0 {
		return Met, nil
	}
	best, reasons := Unmet, map[Answer][]string{}
	for _, t := range r.terms {
		answer, why := t.check(d)
		best = max(best, answer)
		reasons[answer] = append(reasons[answer], why...)
	}
	if best == Met {
		return Met, nil
	}
	return best, slices.Compact(slices.Sorted(slices.Values(reasons[best])))
}

// check reports whether all clauses hold, and returns the clauses that decided the answer.
func (t term) check(d Driver) (answer Answer, why []string) {
	answer = Met
	for _, c := range t {
		answer = min(answer, c.check(d))
	}
	for _, c := range t {
		if c.check(d) == answer {
			why = append(why, c.String())
		}
	}
	return answer, why
}

// check reports whether the clause holds. Of brand and arch that is not known: only the GPU could tell.
func (c clause) check(d Driver) Answer {
	switch {
	case d.Version == "":
		return Unknown
	case c.property == "driver":
		return c.within(d.number, &d.number)
	case c.property == "cuda":
		return c.within(d.cuda, d.newest)
	}
	return Unknown
}

// within reports whether the clause holds for a version of which only the bounds are known: oldest, and newest, which
// is nil if there is no upper bound.
func (c clause) within(oldest version, newest *version) Answer {
	low := oldest.compare(c.number)
	high := 1
	if newest != nil {
		high = newest.compare(c.number)
	}
	switch c.operator {
	case ">=":
		return known(low >= 0, high < 0)
	case ">":
		return known(low > 0, high <= 0)
	case "<":
		return known(high < 0, low >= 0)
	case "<=":
		return known(high <= 0, low > 0)
	case "!=":
		return known(low > 0 || high < 0, low == 0 && high == 0)
	}
	return known(low == 0 && high == 0, low > 0 || high < 0)
}

// known returns Met if yes is certain, Unmet if no is certain, and Unknown otherwise.
func known(yes, no bool) Answer {
	switch {
	case yes:
		return Met
	case no:
		return Unmet
	}
	return Unknown
}
