package plainyaml

import "strings"

// reader reads a document line by line, and a line from left to right.
type reader struct {
	whole  string // the text from the current line on
	text   string // the text after the current line
	rest   string // the rest of the current line
	column int    // the column of rest; -1 after the last line
	line   int    // the number of the current line, from 1 on
}

func newReader(text string) *reader { return &reader{text: text} }

// begin goes to the first line of the document, past the marker "---" that may precede it.
func (r *reader) begin() bool {
	if after, ok := strings.CutPrefix(r.text, "---\n"); ok {
		r.text, r.line = after, 1
	}
	return r.next() && r.column == 0
}

// next goes to the next line that is neither empty nor a comment. It returns false at the end.
func (r *reader) next() bool {
	for r.text != "" {
		var line string
		r.whole = r.text
		line, r.text, _ = strings.Cut(r.text, "\n")
		r.line++
		r.rest = strings.TrimLeft(line, " ")
		r.column = len(line) - len(r.rest)
		if line != "" && !isComment(r.rest) {
			return true
		}
	}
	r.rest, r.column = "", -1
	return false
}

// isComment reports whether a line is a comment.
func isComment(s string) bool {
	return strings.HasPrefix(s, "#") && strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// atItem reports whether the rest of the line begins an element of a block sequence.
func (r *reader) atItem() bool { return strings.HasPrefix(r.rest, "- ") }

// item reads the indicator of an element of a block sequence.
func (r *reader) item() bool {
	if !r.atItem() || len(r.rest) == 2 {
		return false
	}
	r.rest, r.column = r.rest[2:], r.column+2
	return true
}

// atKey reports whether the rest of the line begins with a key.
func (r *reader) atKey() bool { return keyLength(r.rest) > 0 }

// key reads a key with its colon and the space after it.
func (r *reader) key() (string, bool) {
	n := keyLength(r.rest)
	if n == 0 {
		return "", false
	}
	key := r.rest[:n]
	r.rest = strings.TrimPrefix(r.rest[n+1:], " ")
	return key, true
}

// maxKey bounds the length of a key. The library has a bound of 1024.
const maxKey = 256

// keyLength returns the length of the key that s begins with, or 0. A key is a letter followed by letters, digits and
// "_./-", and is not null; the colon after it is before a space or the end of the line.
func keyLength(s string) int {
	n := 0
	for n < len(s) && isWord(s[n]) {
		n++
	}
	switch {
	case n == 0 || n > maxKey || n == len(s) || s[n] != ':' || (n+1 < len(s) && s[n+1] != ' '):
		return 0
	case !isLetter(s[0]) || isNull(s[:n]):
		return 0
	}
	return n
}

// scalarOf returns the scalar that s, the rest of a line, is. It returns false for anything else, and for escapes,
// quotes within quotes and comments.
func scalarOf(s string) (scalar, bool) {
	switch c := s[0]; {
	case c == '"' || c == '\'':
		return quotedOf(s)
	case isWord(c) && (c != '-' || len(s) > 1 && s[1] != ' '):
		return scalar{text: s}, isPlain(s)
	default:
		return scalar{}, false
	}
}

// quotedOf is [scalarOf] for a quoted scalar.
func quotedOf(s string) (scalar, bool) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			return scalar{text: s[1:i], quoted: true}, i == len(s)-1
		case c == '\\' || !isPrintable(c):
			return scalar{}, false
		}
	}
	return scalar{}, false
}

// isPlain reports whether s, which begins as one does, is a plain scalar up to its end.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '#' || !isPrintable(c):
			return false
		case c == ':' && (i == len(s)-1 || s[i+1] == ' '):
			return false
		}
	}
	return s[len(s)-1] != ' '
}

// wordsOf returns the words of a flow sequence such as [ro, nosuid]. A word is a letter or a slash followed by letters,
// digits and "_./-".
func wordsOf(s string) ([]string, bool) {
	inner, ok := strings.CutSuffix(strings.TrimPrefix(s, "["), "]")
	if !ok || inner == "" {
		return nil, ok
	}
	words := strings.Split(inner, ", ")
	for _, word := range words {
		if word == "" || (!isLetter(word[0]) && word[0] != '/') {
			return nil, false
		}
		for i := range len(word) {
			if !isWord(word[i]) {
				return nil, false
			}
		}
	}
	return words, true
}

// isNull reports whether s is null to the library, or may be. Most texts are told from it by their length.
func isNull(s string) bool { return len(s) == len("null") && strings.EqualFold(s, "null") }

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isWord(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '_' || c == '.' || c == '/' || c == '-'
}

// isPrintable reports whether c is a printable ASCII character.
func isPrintable(c byte) bool { return ' ' <= c && c <= '~' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
