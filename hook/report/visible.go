package report

import (
	"strconv"
	"strings"
	"unicode"
)

// visible returns the text with each character escaped that a terminal does not show as it is: control characters, ends
// of lines, changes of the direction of writing. What the author of an image writes must not move the cursor or look
// like a line of ours.
func visible(text string) string {
	text = strings.ToValidUTF8(text, string(unicode.ReplacementChar)) // a lone byte is a control character to some
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if hidden(r) {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

func hidden(r rune) bool { return !unicode.IsGraphic(r) }

// word returns the text as one word of a line: quoted, unless it is one.
func word(text string) string {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return hidden(r) || unicode.IsSpace(r) || r == '"' }) {
		return strconv.Quote(text)
	}
	return text
}

// words returns the texts, each as one word.
func words(texts []string) string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		out = append(out, word(t))
	}
	return strings.Join(out, " ")
}
