package plainyaml

import "strings"

// Find returns the string that the document, a mapping, has under the key, without reading what comes after it. It returns
// false where that is not certain: where the document is neither plain nor JSON up to there, or has no such key. The
// document as a whole need not be valid. If go.yaml.in/yaml/v3 can decode it at all, the key's value is this one.
func Find(document []byte, key string) (string, bool) {
	text := string(document)
	if strings.HasPrefix(text, "{") {
		f := finder{rest: text}
		return f.find(key)
	}
	r := newReader(text)
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

// skim reads the indicator and the key of the line, which is left with what it has to say after these: nothing, a scalar or
// a sequence of words. All of these end with the line, unless the next line continues a scalar.
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

// finder goes through a JSON object.
type finder struct {
	rest  string
	last  byte // token: a structural character, '"' for a string or 'a' for another scalar; 0 at the beginning
	depth int
}

func (f *finder) find(key string) (string, bool) {
	for f.step() && f.depth > 0 {
		if f.depth > 1 || f.last == ':' || !f.before(`"`+key+`"`) {
			continue
		}
		if f.steps('"', ':') {
			return f.value()
		}
		break
	}
	return "", false
}

// value returns the string that comes next, if a member or the end of the object follows it.
func (f *finder) value() (string, bool) {
	if !f.before(`"`) {
		return "", false
	}
	s, _, _ := strings.Cut(f.rest[1:], `"`)
	return s, f.steps('"') && (f.steps(',') || f.steps('}'))
}

// before reports whether the text comes next.
func (f *finder) before(text string) bool {
	f.space()
	return strings.HasPrefix(f.rest, text)
}

// space reads spaces and line ends.
func (f *finder) space() { f.rest = strings.TrimLeft(f.rest, " \n") }

// steps reads these tokens. It returns false at the first that does not come next, and leaves it.
func (f *finder) steps(tokens ...byte) bool {
	for _, token := range tokens {
		if !f.before(string(rune(token))) || !f.step() {
			return false
		}
	}
	return true
}

// step reads a token. It returns false at the end, and where the document is not JSON.
func (f *finder) step() bool {
	if f.space(); f.rest == "" {
		return false
	}
	token, length := f.rest[0], 1
	switch {
	case token == '"':
		length = jsonString(f.rest)
	case isLetter(token) || isDigit(token) || token == '-':
		token, length = 'a', jsonScalar(f.rest)
	}
	if length == 0 || !follows(f.last, token) {
		return false
	}
	switch token {
	case '{', '[':
		f.depth++
	case '}', ']':
		f.depth--
	}
	f.last, f.rest = token, f.rest[length:]
	return true
}

// follows reports whether a token may follow another in JSON, as far as that shows without the collection they are in.
func follows(last, token byte) bool {
	value := last == '"' || last == 'a' || last == '}' || last == ']'
	switch token {
	case '{', '[', 'a':
		return last == 0 || last == ':' || last == ',' || last == '['
	case '"':
		return last == '{' || last == ':' || last == ',' || last == '['
	case ':':
		return last == '"'
	case ',':
		return value
	case '}':
		return value || last == '{'
	case ']':
		return value || last == '['
	default:
		return false
	}
}

// jsonString returns the length of the string that s begins with, or 0 for one with escapes, which would need a closer look.
func jsonString(s string) int {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c == '\\' || !isPrintable(c):
			return 0
		}
	}
	return 0
}

// jsonScalar returns the length of the number, true, false or null that s begins with, or 0.
func jsonScalar(s string) int {
	n := 0
	for n < len(s) && (isWord(s[n]) || s[n] == '+') {
		n++
	}
	if n == 1 && s[0] == '-' {
		return 0
	}
	return n
}
