package plainyaml

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// target is the struct or map in which a mapping is stored, and the keys that were read so far.
type target struct {
	out   reflect.Value // not a pointer
	names []string      // names of the struct's fields
	known uint64        // a bit for each field that was read
	other []string      // keys that are not fields
}

// maxFields bounds the number of fields of a struct, and maxUnknown that of keys that are not fields.
const (
	maxFields  = 64
	maxUnknown = 64
)

// first returns the index of the struct's field with this name, or -1. It returns false if the key was read before.
func (t *target) first(key string) (int, bool) {
	i := slices.Index(t.names, key)
	if i < 0 {
		again := slices.Contains(t.other, key)
		t.other = append(t.other, key)
		return i, !again && len(t.other) <= maxUnknown
	}
	again := t.known&(1<<i) != 0
	t.known |= 1 << i
	return i, !again
}

// open returns the target of a mapping.
func (d *decoder) open(out reflect.Value) (target, bool) {
	out = pointed(out)
	t := target{out: out}
	switch out.Kind() {
	case reflect.Invalid:
	case reflect.Struct:
		t.names = d.namesOf(out.Type())
	case reflect.Map:
		out.Set(reflect.MakeMap(out.Type()))
	default:
		return t, false
	}
	return t, d.deeper() && len(t.names) <= maxFields
}

// fewElements is what a list has room for at first. Most have no more, and need not grow.
const fewElements = 4

// list returns the target of a sequence.
func (d *decoder) list(out reflect.Value) (reflect.Value, bool) {
	switch out.Kind() {
	case reflect.Invalid:
	case reflect.Slice:
		out.SetLen(0)
		out.Grow(fewElements) // which makes it a list, not nil
	default:
		return out, false
	}
	return out, d.deeper()
}

// deeper enters a collection. It returns false if there are too many of them, or if they are nested too deeply.
func (d *decoder) deeper() bool {
	d.nodes, d.depth = d.nodes+1, d.depth+1
	return d.nodes <= maxNodes && d.depth <= maxDepth
}

// namesOf returns the names of a struct's fields by their indices.
func (d *decoder) namesOf(t reflect.Type) []string {
	for i := range d.structs {
		if d.structs[i].t == t {
			return d.structs[i].names
		}
	}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		names = append(names, name)
	}
	d.structs = append(d.structs, structType{t, names})
	return names
}

// grow returns the element i of the list, which had i elements.
func grow(list reflect.Value, i int) reflect.Value {
	if !list.IsValid() {
		return list
	}
	list.Grow(1)
	list.SetLen(i + 1)
	return list.Index(i)
}

// pointed returns the value that out points to, which it creates, or out itself if out is not a pointer.
func pointed(out reflect.Value) reflect.Value {
	for out.Kind() == reflect.Pointer {
		out.Set(reflect.New(out.Type().Elem()))
		out = out.Elem()
	}
	return out
}

// store stores a scalar in out. Numbers and booleans count as plain only in their usual forms: decimal digits, true and
// false.
func store(s scalar, out reflect.Value) bool {
	if !out.IsValid() {
		return true
	}
	if s.null() {
		return false
	}
	switch out = pointed(out); out.Kind() {
	case reflect.String:
		out.SetString(s.text)
		return true
	case reflect.Bool:
		out.SetBool(s.text == "true")
		return !s.quoted && (s.text == "true" || s.text == "false")
	case reflect.Int, reflect.Int64:
		n, ok := s.integer()
		out.SetInt(n)
		return ok && !out.OverflowInt(n)
	case reflect.Uint32:
		n, ok := s.integer()
		if !ok || n < 0 || n > math.MaxUint32 {
			return false
		}
		out.SetUint(uint64(n))
		return true
	default:
		return false
	}
}

// scalar is a scalar's text, without its quotes.
type scalar struct {
	text   string
	quoted bool
}

// null reports whether the scalar is null, or a text that the library may take for null.
func (s scalar) null() bool { return !s.quoted && isNull(s.text) }

// integer returns the decimal number that the scalar is, if it is one. A leading zero means octal to the library.
func (s scalar) integer() (int64, bool) {
	digits := strings.TrimPrefix(s.text, "-")
	if s.quoted || digits == "" || (digits[0] == '0' && s.text != "0") || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s.text, 10, 64)
	return n, err == nil
}

// write appends the step to a place such as "devices[0].colour".
func (s segment) write(b *strings.Builder) {
	switch {
	case s.name == "":
		b.WriteString("[" + strconv.Itoa(s.index) + "]")
	case b.Len() > 0:
		b.WriteString("." + s.name)
	default:
		b.WriteString(s.name)
	}
}
