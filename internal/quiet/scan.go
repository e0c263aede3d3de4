package quiet

import (
	"math/bits"
	"unicode/utf8"
)

// maxDepth bounds how deep values may be nested.
const maxDepth = 32

// scanner reads one JSON document. Its methods report whether what they have read is well-formed, is of the shape that
// stands there, and has no trigger in any of its strings.
type scanner struct {
	data     []byte
	at       int
	depth    int
	triggers *Triggers

	bundle []byte // the value of the last field bundle of a state

	legacy bool // a string sets the variable of that name
	voids  int  // how many of the process's variables set visible to nothing
	lists  int  // how many lists of the process's variables there are
}

// document reads the whole document, which must be an object.
func (s *scanner) document(of shape) bool {
	if s.next() != '{' || !s.object(of) {
		return false
	}
	return s.next() == 0 && s.at == len(s.data) && (!s.legacy || s.isVoid())
}

// isVoid reports whether the process's environment certainly sets visible. Of two lists only the second counts.
func (s *scanner) isVoid() bool { return s.voids > 0 && s.lists == 1 }

// mayRequest reports whether a string may request something, but for what isVoid decides at the end.
func (s *scanner) mayRequest(raw []byte, of shape) bool {
	switch {
	case of == variable && s.triggers.nearVariable(raw):
		return true
	case !s.triggers.found(raw):
		return false
	case s.triggers.otherVariables:
		return true
	case isVoid(raw):
		if of == variable {
			s.voids++
		}
		return false
	case begins(raw, legacy):
		s.legacy = true
		return false
	}
	return true
}

// next passes over white space and returns the byte behind it, or 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// value reads a value.
func (s *scanner) value(of shape) bool {
	switch c := s.next(); c {
	case '"':
		raw, ok := s.text()
		return ok && (of == text || of == variable || of == anything) && !s.mayRequest(raw, of)
	case '{':
		return of.isObject() && s.object(of)
	case '[':
		return s.list(of)
	case 't':
		return (of == boolean || of == anything) && s.word("true")
	case 'f':
		return (of == boolean || of == anything) && s.word("false")
	case 'n':
		return s.word("null")
	default:
		if of == number {
			return s.integer()
		}
		return of == anything && s.number()
	}
}

// object reads an object, at whose brace the scanner is.
func (s *scanner) object(of shape) bool {
	if s.depth == maxDepth {
		return false
	}
	s.depth++
	s.at++
	if s.next() == '}' {
		s.at++
		s.depth--
		return true
	}
	for {
		if s.next() != '"' {
			return false
		}
		key, ok := s.text()
		if !ok || s.mayRequest(key, anything) || of == textMap && isClose(key) || s.next() != ':' {
			return false
		}
		s.at++
		shape, ok := of.member(key)
		if !ok {
			return false
		}
		s.next()
		start := s.at
		if !s.value(shape) {
			return false
		}
		s.note(of, string(key), s.data[start:s.at])
		switch s.next() {
		case ',':
			s.at++
		case '}':
			s.at++
			s.depth--
			return true
		default:
			return false
		}
	}
}

// note takes note of a field of an object.
func (s *scanner) note(of shape, key string, value []byte) {
	switch {
	case of == stateObject && key == "bundle":
		s.bundle = unquoted(value)
	case of == processObject && key == "env":
		s.lists++
	}
}

// unquoted returns the text of a string without escapes, or nil.
func unquoted(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' || contains(value, `\`) {
		return nil
	}
	return value[1 : len(value)-1]
}

// list reads a list, at whose bracket the scanner is.
func (s *scanner) list(of shape) bool {
	element, ok := of.element()
	if !ok || s.depth == maxDepth {
		return false
	}
	s.depth++
	s.at++
	if s.next() == ']' {
		s.at++
		s.depth--
		return true
	}
	for {
		if !s.value(element) {
			return false
		}
		switch s.next() {
		case ',':
			s.at++
		case ']':
			s.at++
			s.depth--
			return true
		default:
			return false
		}
	}
}

// word reads one of JSON's words.
func (s *scanner) word(word string) bool {
	if len(s.data)-s.at < len(word) || string(s.data[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

// integer reads a number that fits into every integer that package state decodes one into.
func (s *scanner) integer() bool {
	const most = 9
	start := s.at
	n := s.digits()
	return 1 <= n && n <= most && (n == 1 || s.data[start] != '0')
}

// number reads any number of JSON's.
func (s *scanner) number() bool {
	if s.oneOf("-") {
		s.at++
	}
	start := s.at
	if n := s.digits(); n == 0 || n > 1 && s.data[start] == '0' {
		return false
	}
	if s.oneOf(".") {
		s.at++
		if s.digits() == 0 {
			return false
		}
	}
	if !s.oneOf("eE") {
		return true
	}
	s.at++
	if s.oneOf("+-") {
		s.at++
	}
	return s.digits() > 0
}

// digits reads digits and returns their number.
func (s *scanner) digits() int {
	start := s.at
	for s.at < len(s.data) && '0' <= s.data[s.at] && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}

// oneOf reports whether the next byte is one of these.
func (s *scanner) oneOf(bytes string) bool {
	if s.at == len(s.data) {
		return false
	}
	for i := range len(bytes) {
		if s.data[s.at] == bytes[i] {
			return true
		}
	}
	return false
}

// text reads a string, at whose quote the scanner is, and returns what is between its quotes, with its escapes. None of
// these stands for a character that a trigger can have in it.
func (s *scanner) text() (raw []byte, ok bool) {
	data, i := s.data, s.at+1
	for {
		i += ordinary(data[i:])
		if i == len(data) {
			return nil, false
		}
		switch c := data[i]; {
		case c == '"':
			raw = data[s.at+1 : i]
			s.at = i + 1
			return raw, true
		case c == '\\':
			n := harmless(data[i:])
			if n == 0 {
				return nil, false
			}
			i += n
		case c < ' ':
			return nil, false
		default:
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, false
			}
			i += n
		}
	}
}

// ordinary returns how many characters of ASCII at the beginning of data stand for themselves in a string. It looks at
// eight of them at once: byte by byte, a large config.json takes three times as long.
func ordinary(data []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(data); i += 8 {
		b := data[i : i+8 : i+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, backslash := x^ones*'"', x^ones*'\\'
		// The highest bits of bytes that are a control character, a quote, a backslash or beyond ASCII. Those above the
		// lowest one may be wrong.
		special := ((x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash | x) & highs
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(data); i++ {
		if c := data[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

// harmless returns the length of the escape at the beginning of data, or 0 if it stands for a character that a trigger
// can have in it, or is none. Engines escape quotes, backslashes and control characters, and as \u003c, \u003e, \u0026,
// \u2028 and \u2029 what means something to HTML and JavaScript.
func harmless(data []byte) int {
	const short, long = 2, 6
	if len(data) < short {
		return 0
	}
	switch data[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return short
	case 'u':
		if len(data) < long {
			return 0
		}
		switch string(data[short:long]) {
		case "003c", "003e", "0026", "2028", "2029", "0000", "001b", "007f":
			return long
		}
	}
	return 0
}
