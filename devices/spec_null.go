package devices

import (
	"fmt"
	"reflect"
	"strings"
)

// nullElement returns the place of the first null element of a list or map in v, such as
// "devices[0].containerEdits.mounts[1]", or "" if there is none. A null field is not an element: it is only unset.
//
// The CDI library dereferences the elements of its lists without a check, so a null would panic it. The lists are found
// by reflection, which includes those that a newer CDI library adds.
func nullElement(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return nullElement(v.Elem()) // nothing, if v is nil
	case reflect.Struct:
		return nullInStruct(v)
	case reflect.Slice, reflect.Array:
		if scalar(v.Type().Elem()) {
			return ""
		}
		for i := range v.Len() {
			if at, found := nullAt(v.Index(i)); found {
				return join(fmt.Sprintf("[%d]", i), at)
			}
		}
	case reflect.Map:
		if scalar(v.Type().Elem()) {
			return ""
		}
		for entries := v.MapRange(); entries.Next(); {
			if at, found := nullAt(entries.Value()); found {
				return join(fmt.Sprintf("[%v]", entries.Key()), at)
			}
		}
	default: // a scalar has no elements
	}
	return ""
}

// nullAt reports whether an element of a list or map is null, where at is "", or has a null element in it, which is at.
func nullAt(element reflect.Value) (at string, found bool) {
	if kind := element.Kind(); (kind == reflect.Pointer || kind == reflect.Interface) && element.IsNil() {
		return "", true
	}
	at = nullElement(element)
	return at, at != ""
}

func nullInStruct(v reflect.Value) string {
	for i := range v.NumField() {
		if at := nullElement(v.Field(i)); at != "" {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			return join(name, at)
		}
	}
	return ""
}

// join joins the places of an outer and an inner value: "a" and "b" are "a.b", "a" and "[0]" are "a[0]".
func join(outer, inner string) string {
	if inner == "" || strings.HasPrefix(inner, "[") {
		return outer + inner
	}
	return outer + "." + inner
}

// scalar reports whether values of the type hold no others, so that a list of them need not be read.
func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return false
	default:
		return true
	}
}
