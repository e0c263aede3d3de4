package fault

import (
	"strconv"
	"strings"
)

// Value returns the text of a user's, such as a request's value, as a message shows it: as it is if it is one plain
// word, else quoted. Double quotes alone are left to a pair of single ones, as in a shell.
func Value(unsafeText string) string {
	isPlain := func(r rune) bool { return '!' <= r && r <= '~' && r != '\\' && r != '\'' || r == '…' }
	odd := strings.IndexFunc(unsafeText, func(r rune) bool { return !isPlain(r) && r != ' ' }) >= 0
	switch {
	case odd || unsafeText == "":
		return strconv.Quote(unsafeText)
	case strings.ContainsAny(unsafeText, `" `):
		return "'" + unsafeText + "'"
	}
	return unsafeText
}
