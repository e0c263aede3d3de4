package devices

import "cmp"

// Natural compares two names as people order them. A run of digits is compared by its number, so that gpu2 comes before
// gpu10, and everything else by bytes. A run that begins with a zero has a fixed width, as in a PCI address, and is
// compared by bytes too. Only equal names give 0.
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

// number returns the length of the number at the beginning of s, or 0 if there is none. A number does not begin with a
// zero before other digits.
func number(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	if n > 1 && s[0] == '0' {
		return 0
	}
	return n
}
