package report

import (
	"strings"
	"unicode"

	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// Plain returns the message as it may be shown: on one line, without characters that control a terminal or the
// direction of writing, and of limited length.
//
// It also replaces four phrases. If podman finds one of them in a hook's message, in any case, it shows an error of its
// own and discards the message (libpod/oci_util.go). They come from errno, from the hooks of Specs and from the
// delegate.
func Plain(text string) string {
	// What is cut off below need not be looked at. The phrases may make a text longer.
	const room = 2
	text = text[:min(len(text), room*limits.Message)]
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, text)
	for _, phrase := range [][2]string{
		{"no such file or directory", "it does not exist"},
		{"permission denied", "access is denied"},
		{"operation not permitted", "the kernel does not allow it"},
		{"executable file not found", "the program is not installed"},
	} {
		text = replaceFold(text, phrase[0], phrase[1])
	}
	if len(text) > limits.Message {
		text = strings.ToValidUTF8(text[:limits.Message], "") + "…"
	}
	return text
}

// replaceFold replaces every occurrence of the lower-case ASCII phrase in text, whatever its case there.
func replaceFold(text, phrase, instead string) string {
	var out strings.Builder
	for {
		i := indexFold(text, phrase)
		if i < 0 {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		out.WriteString(instead)
		text = text[i+len(phrase):]
	}
}

// indexFold returns the index of the first occurrence of the ASCII phrase in text, whatever its case there, or -1.
func indexFold(text, phrase string) int {
	for i := 0; i+len(phrase) <= len(text); i++ {
		if strings.EqualFold(text[i:i+len(phrase)], phrase) {
			return i
		}
	}
	return -1
}
