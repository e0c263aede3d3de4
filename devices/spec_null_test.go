package devices

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

// TestNullInEveryList puts a null into each list of pointers of a CDI Spec, which it finds by the types of the CDI
// library. Each is an error that names the element. None may get to the library, which would panic.
func TestNullInEveryList(t *testing.T) {
	full := func() reflect.Value { return fill(reflect.TypeFor[*cdispecs.Spec]()) }
	if at := nullElement(full()); at != "" {
		t.Fatalf("a Spec without a null has one at %s", at)
	}
	places := pointerLists(full(), "")
	if len(places) < 8 { // four kinds of edits, in the Spec and in a device
		t.Fatalf("the Spec has only these lists of pointers: %v", places)
	}
	for i, place := range places {
		t.Run(place.at, func(t *testing.T) {
			raw := full()
			list := pointerLists(raw, "")[i].list
			list.Set(reflect.Append(list, reflect.Zero(list.Type().Elem())))
			text, err := yaml.Marshal(raw.Interface())
			if err != nil {
				t.Fatal(err)
			}
			_, err = parseSpec(string(text))
			if want := fmt.Sprintf("%s[1] is null", place.at); err == nil || err.Error() != want {
				t.Errorf("error %v, not %q", err, want)
			}
		})
	}
}

// pointerList is a list of pointers and its place in the Spec.
type pointerList struct {
	at   string
	list reflect.Value
}

// pointerLists returns every list of pointers in v. It is independent of nullElement, which it tests.
func pointerLists(v reflect.Value, at string) []pointerList {
	var out []pointerList
	switch v.Kind() {
	case reflect.Pointer:
		return pointerLists(v.Elem(), at)
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			out = append(out, pointerLists(v.Field(i), strings.TrimPrefix(at+"."+name, "."))...)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Pointer {
			out = append(out, pointerList{at, v})
		}
		for i := range v.Len() {
			out = append(out, pointerLists(v.Index(i), fmt.Sprintf("%s[%d]", at, i))...)
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Pointer {
			panic("CDI has a map of pointers at " + at + ": put a null into it here too")
		}
	default: // a scalar holds no list
	}
	return out
}

// fill returns a value of the type without a null at any depth, whose every list and map has one element.
func fill(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(fill(t.Elem()))
	case reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(fill(t.Field(i).Type))
		}
	case reflect.Slice:
		v.Set(reflect.Append(v, fill(t.Elem())))
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(fill(t.Key()), fill(t.Elem()))
	default: // a scalar's zero value is not null
	}
	return v
}

func TestNullElement(t *testing.T) {
	type inner struct {
		Numbers []*int `yaml:"numbers,omitempty"`
	}
	type outer struct {
		Map   map[string]*inner `yaml:"map"`
		Lists [][]*inner        `yaml:"lists"`
		Any   []any             `yaml:"any"`
		One   *inner            `yaml:"one"`
		Plain map[string]string `yaml:"plain"`
	}
	one := 1
	for want, v := range map[string]outer{
		"":                       {Plain: map[string]string{"a": ""}, Map: map[string]*inner{"k": {}}, Any: []any{1}},
		"map[k]":                 {Map: map[string]*inner{"k": nil}},
		"map[k].numbers[1]":      {Map: map[string]*inner{"k": {[]*int{&one, nil}}}},
		"lists[1][0]":            {Lists: [][]*inner{{}, {nil}}},
		"lists[0][0].numbers[0]": {Lists: [][]*inner{{{[]*int{nil}}}}},
		"any[0]":                 {Any: []any{nil}},
		"any[1].numbers[0]":      {Any: []any{1, &inner{[]*int{nil}}}},
		"one.numbers[0]":         {One: &inner{[]*int{nil}}},
	} {
		if got := nullElement(reflect.ValueOf(&v)); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
