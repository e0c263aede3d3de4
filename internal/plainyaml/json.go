package plainyaml

import (
	"reflect"
	"strings"
)

// jsonReader reads a JSON document token by token. The library reads JSON as YAML.
type jsonReader struct {
	rest  string
	line  int    // line of the token
	last  byte   // the token: a structural character, '"' for a string or 'a' for another scalar; 0 at the beginning
	text  string // text of a string or scalar, without its quotes
	depth int    // number of collections around the next token
}

// json reads a JSON value.
func (d *decoder) json(j *jsonReader, out reflect.Value) bool {
	if !j.step() {
		return false
	}
	switch j.last {
	case '{':
		return d.object(j, out)
	case '[':
		return d.array(j, out)
	case '"', 'a':
		d.nodes++
		return d.nodes <= maxNodes && store(scalar{text: j.text, quoted: j.last == '"'}, out)
	default:
		return false
	}
}

// object reads a JSON object, after its brace.
func (d *decoder) object(j *jsonReader, out reflect.Value) bool {
	m, ok := d.open(out)
	ok = ok && j.each('}', func() bool {
		key, ok := j.key()
		d.line = j.line
		return ok && d.entry(&m, key, func(out reflect.Value) bool { return d.json(j, out) })
	})
	d.depth--
	return ok
}

// array reads a JSON array, after its bracket.
func (d *decoder) array(j *jsonReader, out reflect.Value) bool {
	list, ok := d.list(out)
	i := -1
	ok = ok && j.each(']', func() bool {
		i++
		return d.nth(list, i, func(out reflect.Value) bool { return d.json(j, out) })
	})
	d.depth--
	return ok
}

// each reads the members of a collection by read, up to and including its end.
func (j *jsonReader) each(end byte, read func() bool) bool {
	if j.steps(end) {
		return true
	}
	for read() {
		if !j.steps(',') {
			return j.steps(end)
		}
	}
	return false
}

// key reads a key and its colon. The library requires them on the same line and not far apart.
func (j *jsonReader) key() (string, bool) {
	ok := j.steps('"') && strings.HasPrefix(j.rest, ":")
	key := j.text
	return key, ok && key != "" && len(key) <= maxKey && j.step()
}

// end reports whether the document ends here.
func (j *jsonReader) end() bool {
	j.space()
	return j.rest == ""
}

// find is [Find] for a JSON document.
func (j *jsonReader) find(key string) (string, bool) {
	for j.step() && j.depth > 0 {
		if j.depth > 1 || j.last == ':' || !j.before(`"`+key+`"`) {
			continue
		}
		if j.steps('"', ':') {
			return j.value()
		}
		break
	}
	return "", false
}

// value returns the string that comes next, if a member or the end of the object follows it.
func (j *jsonReader) value() (string, bool) {
	if !j.before(`"`) {
		return "", false
	}
	s, _, _ := strings.Cut(j.rest[1:], `"`)
	return s, j.steps('"') && (j.steps(',') || j.steps('}'))
}

// before reports whether the text comes next.
func (j *jsonReader) before(text string) bool {
	j.space()
	return strings.HasPrefix(j.rest, text)
}

// space reads spaces and line ends.
func (j *jsonReader) space() {
	n := 0
	for ; n < len(j.rest) && (j.rest[n] == ' ' || j.rest[n] == '\n'); n++ {
		if j.rest[n] == '\n' {
			j.line++
		}
	}
	j.rest = j.rest[n:]
}

// steps reads these tokens. It returns false at the first that does not come next, and leaves it.
func (j *jsonReader) steps(tokens ...byte) bool {
	for _, token := range tokens {
		if !j.before(string(rune(token))) || !j.step() {
			return false
		}
	}
	return true
}

// step reads a token. It returns false at the end, and where the document is not JSON.
func (j *jsonReader) step() bool {
	if j.space(); j.rest == "" {
		return false
	}
	token, length := j.rest[0], 1
	switch {
	case token == '"':
		length = jsonString(j.rest)
	case isLetter(token) || isDigit(token) || token == '-':
		token, length = 'a', jsonScalar(j.rest)
	}
	j.text = strings.Trim(j.rest[:length], `"`)
	if length == 0 || !follows(j.last, token) {
		return false
	}
	switch token {
	case '{', '[':
		j.depth++
	case '}', ']':
		j.depth--
	}
	j.last, j.rest = token, j.rest[length:]
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

// jsonString returns the length of the string that s begins with, or 0 for one with escapes.
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
	if s[0] == '-' && (n == 1 || !isDigit(s[1])) {
		return 0
	}
	return n
}
