// Package plainyaml reads the style of YAML in which tools write CDI Specs, without the cost of a parser for the whole
// language. Plain is a document of block mappings and block sequences whose scalars are on one line each, and JSON
// without escapes. For a plain document the result is exactly that of go.yaml.in/yaml/v3. Anything else, valid or not,
// is left to the caller to read with that library.
package plainyaml

import (
	"reflect"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// maxNodes and maxDepth bound what is plain. They are no higher than those of what the library reads.
const (
	maxNodes = limits.SpecNodes
	maxDepth = limits.SpecDepth / 2
)

// Field is a field of a document that the Go type does not have.
type Field struct {
	Place string // "devices[0].colour"
	Line  int
}

// Decode stores the document in *out, as go.yaml.in/yaml/v3 does, and returns the fields that T does not have. It
// returns false if the document is not plain or does not fit T; *out must then not be used.
//
// T is a struct of strings, booleans, integers and pointers to these, slices, maps from string to string and other such
// structs. Every field has a yaml tag that names it and is not inlined, and no type decodes itself.
func Decode[T any](document string, out *T) ([]Field, bool) {
	d := &decoder{reader: newReader(document)}
	into := reflect.ValueOf(out).Elem()
	if strings.HasPrefix(d.text, "{") {
		j := &jsonReader{rest: d.text, line: 1}
		ok := d.json(j, into) && j.end()
		return d.unknown, ok
	}
	// A line whose indentation is that of no collection around it ends all of them before the document ends.
	ok := d.begin() && d.mapping(0, into) && d.column < 0
	return d.unknown, ok
}

// decoder stores what a reader reads. Its methods report whether the document is plain and fits so far. They begin at a
// value, and end at the line after it. The invalid [reflect.Value] is the target of values that are ignored.
type decoder struct {
	*reader
	nodes, depth int
	structs      []structType // that were met; few enough to be looked for one by one
	place        []segment
	unknown      []Field
	last         block
}

// structType is a struct with the names of its fields.
type structType struct {
	t     reflect.Type
	names []string
}

// segment is a step to a value: the name of a field, or the index of an element where name is "".
type segment struct {
	name  string
	index int
}

// mapping reads a block mapping whose keys begin in the column.
func (d *decoder) mapping(column int, out reflect.Value) bool {
	m, ok := d.open(out)
	if !ok {
		return false
	}
	value := func(out reflect.Value) bool { return d.value(column, out) }
	for d.column == column {
		key, ok := d.key()
		if !ok || !d.entry(&m, key, value) {
			return false
		}
	}
	d.depth--
	return true
}

// entry reads the value of a key, and stores it in the mapping's target.
func (d *decoder) entry(m *target, key string, read func(out reflect.Value) bool) bool {
	switch m.out.Kind() {
	case reflect.Struct:
		return d.field(m, key, read)
	case reflect.Map:
		value := reflect.New(m.out.Type().Elem()).Elem()
		name := reflect.ValueOf(key)
		if m.out.MapIndex(name).IsValid() || !read(value) {
			return false
		}
		m.out.SetMapIndex(name, value)
		return true
	default:
		return read(reflect.Value{})
	}
}

// field reads the value of a key, and stores it in the struct's field with this name, if there is one.
func (d *decoder) field(m *target, key string, read func(out reflect.Value) bool) bool {
	i, ok := m.first(key)
	if !ok {
		return false
	}
	d.place = append(d.place, segment{name: key})
	value := reflect.Value{}
	if i >= 0 {
		value = m.out.Field(i)
	} else {
		d.unknown = append(d.unknown, Field{d.at(), d.line})
	}
	ok = read(value)
	d.place = d.place[:len(d.place)-1]
	return ok
}

// sequence reads a block sequence whose indicators are in the column.
func (d *decoder) sequence(column int, out reflect.Value) bool {
	list, ok := d.list(out)
	if !ok {
		return false
	}
	for i := 0; d.column == column && d.item(); i++ {
		if !d.nth(list, i, d.element) {
			return false
		}
	}
	d.depth--
	return true
}

// nth reads an element, and stores it in the list, which had i elements.
func (d *decoder) nth(list reflect.Value, i int, read func(out reflect.Value) bool) bool {
	d.place = append(d.place, segment{index: i})
	ok := read(grow(list, i))
	d.place = d.place[:len(d.place)-1]
	return ok
}

// element reads an element of a sequence, after its indicator.
func (d *decoder) element(out reflect.Value) bool {
	if d.atKey() {
		return d.mapping(d.column, out)
	}
	return d.inline(out)
}

// value reads the value of a key that begins in the column.
func (d *decoder) value(column int, out reflect.Value) bool {
	switch {
	case d.rest != "":
		return d.inline(out)
	case d.repeat(column, out):
		return true
	case !d.next() || d.column < column:
		return false
	case d.atItem():
		return d.sequence(d.column, out)
	default:
		return d.column > column && d.block(out)
	}
}

// inline reads the value that is the rest of the line: a scalar, a flow sequence of words, or {}.
func (d *decoder) inline(out reflect.Value) bool {
	rest := d.rest
	ok := d.nodes < maxNodes
	switch {
	case !ok:
	case rest == "{}":
		_, ok = d.open(out)
		d.depth--
	case rest[:1] == "[":
		ok = d.words(out)
	default:
		d.nodes++
		s, plain := scalarOf(rest)
		ok = plain && store(s, out)
	}
	d.next()
	return ok
}

// words reads a flow sequence of words: [], [ro, nosuid].
func (d *decoder) words(out reflect.Value) bool {
	words, ok := wordsOf(d.rest)
	if !ok || d.nodes+len(words) > maxNodes {
		return false
	}
	list, ok := d.list(out)
	if !ok {
		return false
	}
	for i, word := range words {
		d.nodes++
		if !store(scalar{text: word}, grow(list, i)) {
			return false
		}
	}
	d.depth--
	return true
}

// at returns the place of the current value.
func (d *decoder) at() string {
	var b strings.Builder
	for _, s := range d.place {
		s.write(&b)
	}
	return b.String()
}
