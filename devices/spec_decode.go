package devices

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/plainyaml"
)

var errNothing = errors.New("it holds nothing")

// decodeSpec decodes the CDI Spec in data, which is YAML or JSON. Fields that are not known here are ignored, and the
// notes name each with its place. The values of the fields are not checked, except that no element of a list is null.
func decodeSpec(data string) (*cdispecs.Spec, []string, error) {
	raw := &cdispecs.Spec{}
	if unknown, ok := plainyaml.Decode(data, raw); ok {
		var notes []string
		for _, field := range unknown {
			notes = append(notes, unknownField(field.Place, field.Line))
		}
		return raw, notes, nil
	}
	return decodeYAML(data)
}

func unknownField(place string, line int) string {
	return fmt.Sprintf("field %s (line %d)", place, line)
}

// decodeYAML is decodeSpec for any document, and takes some ten times as long as [plainyaml.Decode].
func decodeYAML(data string) (*cdispecs.Spec, []string, error) {
	if marks(data) > limits.SpecMarks {
		return nil, nil, fmt.Errorf("it has more line ends, commas, brackets and colons than any Spec (%d)", limits.SpecMarks)
	}
	decoder := yaml.NewDecoder(strings.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil, errNothing
	case err != nil:
		return nil, nil, err
	}
	f := &fields{}
	if err := f.read(&document, reflect.TypeFor[cdispecs.Spec](), ""); err != nil {
		return nil, nil, err
	}
	var raw *cdispecs.Spec
	if err := document.Decode(&raw); err != nil {
		return nil, nil, err
	}
	if raw == nil {
		return nil, nil, errNothing
	}
	if at := nullElement(reflect.ValueOf(raw)); at != "" {
		return nil, nil, fmt.Errorf("%s is null", at)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		f.unknown = append(f.unknown, "what follows its first document")
	}
	return raw, f.unknown, nil
}

// fields finds the fields of a document that a Go type does not have.
type fields struct {
	nodes, depth int
	unknown      []string
}

// read reads n, which will be decoded as a t. If t is nil, n is below an unknown field and only counted. at is the
// place of n, such as "devices[0].name".
func (f *fields) read(n *yaml.Node, t reflect.Type, at string) error {
	f.nodes, f.depth = f.nodes+1, f.depth+1
	defer func() { f.depth-- }()
	// A few lines with aliases could need gigabytes.
	if f.nodes > limits.SpecNodes || f.depth > limits.SpecDepth {
		return errors.New("it is larger or deeper than any Spec, by its aliases if not by itself")
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.Kind {
	case yaml.AliasNode:
		return f.read(n.Alias, t, at)
	case yaml.DocumentNode:
		return f.read(n.Content[0], t, at)
	case yaml.SequenceNode:
		return f.list(n.Content, elementOf(t), at)
	case yaml.MappingNode:
		if err := checkKeys(n, t, at); err != nil {
			return err
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := f.field(n.Content[i], n.Content[i+1], t, at); err != nil {
				return err
			}
		}
	default: // a scalar has no fields
	}
	return nil
}

// checkKeys returns why the keys of a mapping that is decoded as a t cannot be those of a Spec, or nil. The library
// compares each key with all others, and prints a line for each two that are equal.
func checkKeys(n *yaml.Node, t reflect.Type, at string) error {
	if t == nil {
		return nil // it is not decoded
	}
	if keys := len(n.Content) / 2; keys > limits.SpecKeys {
		return fmt.Errorf("%shas %d keys, more than any Spec (%d)", subject(at), keys, limits.SpecKeys)
	}
	type key struct {
		kind  yaml.Kind
		value string
	}
	seen := make(map[key]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		k := key{n.Content[i].Kind, n.Content[i].Value}
		if line, again := seen[k]; again {
			return fmt.Errorf("line %d: key %q is already defined at line %d", n.Content[i].Line, k.value, line)
		}
		seen[k] = n.Content[i].Line
	}
	return nil
}

// subject returns the place as the beginning of a sentence.
func subject(at string) string {
	if at == "" {
		return "it "
	}
	return at + " "
}

// marks returns how many characters of the document can begin or end a value, apart from indicators that stand on a
// line of their own. It has no more values.
func marks(data string) int {
	n := 0
	for i := range len(data) {
		switch data[i] {
		case '\n', '\r', ',', '[', '{', ':':
			n++
		case '-', '?':
			if i+1 < len(data) && data[i+1] == ' ' {
				n++
			}
		}
	}
	return n
}

func (f *fields) list(elements []*yaml.Node, t reflect.Type, at string) error {
	for i, element := range elements {
		place := ""
		if t != nil {
			place = fmt.Sprintf("%s[%d]", at, i)
		}
		if err := f.read(element, t, place); err != nil {
			return err
		}
	}
	return nil
}

func (f *fields) field(key, value *yaml.Node, t reflect.Type, at string) error {
	switch {
	case key.Tag == "!!merge" && value.Kind == yaml.SequenceNode:
		return f.list(value.Content, t, at)
	case key.Tag == "!!merge":
		return f.read(value, t, at)
	case t == nil || t.Kind() != reflect.Struct:
		return f.read(value, elementOf(t), "")
	}
	at = strings.TrimPrefix(at+"."+key.Value, ".")
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name == key.Value {
			return f.read(value, t.Field(i).Type, at)
		}
	}
	f.unknown = append(f.unknown, unknownField(at, key.Line))
	return f.read(value, nil, "")
}

// elementOf returns the type of the elements of a list or map, or nil for any other type.
func elementOf(t reflect.Type) reflect.Type {
	if t == nil || (t.Kind() != reflect.Slice && t.Kind() != reflect.Map) {
		return nil
	}
	return t.Elem()
}
