package render

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// object is a JSON object. A member keeps its text until it is set.
type object map[string]json.RawMessage

func parse(raw []byte) (object, error) {
	o := object{}
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	if o == nil { // null
		o = object{}
	}
	return o, nil
}

// object returns a copy of the object in the member, or an empty object if there is no such member.
func (o object) object(key string) (object, error) {
	raw, found := o[key]
	if !found {
		return object{}, nil
	}
	member, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return member, nil
}

// read decodes a member into a value. If there is no such member, the value is unchanged.
func (o object) read(key string, into any) error {
	raw, found := o[key]
	if !found {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func (o object) set(key string, value any) error {
	raw, err := encode(value)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	o[key] = raw
	return nil
}

// within calls change with the object in the member, and sets the member to the result unless that is empty.
func (o object) within(key string, change func(object) error) error {
	member, err := o.object(key)
	if err != nil {
		return err
	}
	if err := change(member); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if len(member) == 0 {
		return nil // leave the member as it is: missing, null or empty
	}
	return o.set(key, member)
}

// encode returns value as JSON on one line, without escapes for "<", ">" and "&".
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
