package plainyaml

import "strings"

// Find returns the string that the document, a mapping, has under the key, without reading what comes after it. It
// returns false if that is not certain: the document up to there is neither plain nor JSON, or it has no such key. The
// document as a whole need not be valid. If go.yaml.in/yaml/v3 can decode it at all, it finds the same value.
func Find(document, key string) (string, bool) {
	if strings.HasPrefix(document, "{") {
		j := &jsonReader{rest: document}
		return j.find(key)
	}
	r := newReader(document)
	for ok := r.begin(); ok; ok = r.next() {
		top := r.column == 0 && !r.atItem()
		name, ok := r.skim()
		if !ok {
			break
		}
		if top && name == key {
			return r.lone()
		}
	}
	return "", false
}

// skim reads the indicator and the key of the line. It checks that the rest of the line is nothing, a scalar or a
// sequence of words: no line below can be part of these, unless it is indented and continues a scalar.
func (r *reader) skim() (key string, ok bool) {
	item := r.atItem()
	if item && !r.item() {
		return "", false
	}
	if key, ok = r.key(); !ok && !item {
		return "", false
	}
	switch {
	case r.rest == "", r.rest == "{}":
		return key, true
	case r.rest[0] == '[':
		_, ok = wordsOf(r.rest)
	default:
		_, ok = scalarOf(r.rest)
	}
	return key, ok
}

// lone returns the string that the rest of the line is, if the next line does not continue it.
func (r *reader) lone() (string, bool) {
	if r.rest == "" || r.rest == "{}" || r.rest[0] == '[' {
		return "", false
	}
	s, _ := scalarOf(r.rest)
	continued := r.next() && (r.column > 0 || !isPrintable(r.rest[0]))
	return s.text, !continued && !s.null()
}
