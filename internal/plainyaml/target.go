package plainyaml

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// target is what a mapping is stored in, and the keys that were there.
type target struct {
	out   reflect.Value // no pointer
	names []string      // of the fields of a struct
	known uint64        // a bit for each field that was there
	other []string      // keys that are no fields
}

// maxFields and maxUnknown bound the fields of a struct, and the keys that are none of them.
const (
	maxFields  = 64
	maxUnknown = 64
)

// first returns the index of the struct's field of that name, or -1. It returns false if the key was there before.
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

// list returns the target of a sequence.
func (d *decoder) list(out reflect.Value) (reflect.Value, bool) {
	switch out.Kind() {
	case reflect.Invalid:
	case reflect.Slice:
		out.Set(reflect.MakeSlice(out.Type(), 0, 0))
	default:
		return out, false
	}
	return out, d.deeper()
}

// deeper counts one more collection that is read.
func (d *decoder) deeper() bool {
	d.nodes, d.depth = d.nodes+1, d.depth+1
	return d.nodes <= maxNodes && d.depth <= maxDepth
}

// namesOf returns the names of a struct's fields by their indices.
func (d *decoder) namesOf(t reflect.Type) []string {
	names, ok := d.names[t]
	if !ok {
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			names = append(names, name)
		}
		d.names[t] = names
	}
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

// pointed is what out points to, made if need be, or out itself.
func pointed(out reflect.Value) reflect.Value {
	for out.Kind() == reflect.Pointer {
		out.Set(reflect.New(out.Type().Elem()))
		out = out.Elem()
	}
	return out
}

// store stores a scalar. Numbers and booleans are plain only in the form in which they are always written: decimal
// digits, true and false.
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
		out.SetUint(uint64(n))
		return ok && !out.OverflowUint(uint64(n))
	default:
		return false
	}
}

// scalar is a scalar's text, without its quotes.
type scalar struct {
	text   string
	quoted bool
}

// null reports whether the scalar is null, or a text that may be.
func (s scalar) null() bool { return !s.quoted && strings.EqualFold(s.text, "null") }

// integer is the number that the scalar is. A leading zero means octal to the library.
func (s scalar) integer() (int64, bool) {
	digits := strings.TrimPrefix(s.text, "-")
	if s.quoted || digits == "" || (digits[0] == '0' && s.text != "0") || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s.text, 10, 64)
	return n, err == nil
}

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
