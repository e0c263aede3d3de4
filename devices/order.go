package devices

import (
	"cmp"
	"strings"
)

// Natural compares two names as people order them: a run of digits by its number, so that gpu2 comes before gpu10, all
// else by bytes. A run that begins with a zero is of a fixed width, as in a PCI address, and goes by bytes too. It is 0
// for equal names alone.
func Natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		m, n := number(x), number(y)
		c := cmp.Or(cmp.Compare(m, n), cmp.Compare(x[:m], y[:n]))
		if m == 0 || n == 0 {
			m, n = 1, 1
			c = cmp.Compare(x[0], y[0])
		}
		if c != 0 {
			return c
		}
		x, y = x[m:], y[n:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// number is the length of the number that s begins with, or 0. A zero before other digits begins none.
func number(s string) int {
	n := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if n > 1 && s[0] == '0' {
		return 0
	}
	return n
}
