package plainyaml

import (
	"reflect"
	"strings"
)

// block is a block mapping that was read into a struct. Generators write the edits of each device several times in a
// row, once for each of its names: what has the same text is the same value, and need not be read again.
type block struct {
	text   string // its lines
	lines  int
	column int // of its keys
	depth  int
	nodes  int
	value  reflect.Value // invalid if there is no such block
}

// block reads a block mapping, whose first key is next, and remembers it.
func (d *decoder) block(out reflect.Value) bool {
	if out.Kind() != reflect.Struct {
		return d.mapping(d.column, out)
	}
	start, nodes, unknown := d.whole, d.nodes, len(d.unknown)
	b := block{column: d.column, depth: d.depth, value: out}
	if !d.mapping(d.column, out) {
		return false
	}
	// The places of unknown fields are their own each time, and after the last block of a document comes none.
	if d.column >= 0 && len(d.unknown) == unknown {
		b.text = start[:len(start)-len(d.whole)]
		b.lines, b.nodes = strings.Count(b.text, "\n"), d.nodes-nodes
		d.last = b
	}
	return true
}

// repeat reads the last block once more as the value of a key in the column, if that is what comes next. Its lists are
// those of the last block's value.
func (d *decoder) repeat(column int, out reflect.Value) bool {
	b := &d.last
	if !b.value.IsValid() || out.Kind() != reflect.Struct || out.Type() != b.value.Type() ||
		!strings.HasPrefix(d.text, b.text) || b.column <= column || d.depth != b.depth || d.nodes+b.nodes > maxNodes {
		return false
	}
	before := *d.reader
	d.text, d.line = d.text[len(b.text):], d.line+b.lines
	if d.next(); d.column >= b.column { // it goes on
		*d.reader = before
		return false
	}
	d.nodes += b.nodes
	out.Set(b.value)
	return true
}
