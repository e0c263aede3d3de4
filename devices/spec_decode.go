package devices

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/plainyaml"
)

// maxNodes and maxDepth bound a Spec whose YAML aliases are expanded. Without them a file of a few lines could need
// gigabytes. The Spec of a host with 16 GPUs in 7 parts each has some 20,000 nodes, none deeper than 8.
const (
	maxNodes = 200_000
	maxDepth = 64
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
	if f.nodes > maxNodes || f.depth > maxDepth {
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
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := f.field(n.Content[i], n.Content[i+1], t, at); err != nil {
				return err
			}
		}
	default: // a scalar has no fields
	}
	return nil
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
