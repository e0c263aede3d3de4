// Package nearest finds the word that somebody probably meant who wrote another.
package nearest

import "strings"

// maxLength bounds the words that are compared, in bytes: what is longer is no name of anything here.
const maxLength = 64

// Word returns the candidate that word is most likely a misspelling of, or "". A letter may be missing, doubled, wrong
// or swapped with its neighbour: one letter in a word of up to four, two in longer words. Case does not count. Of
// candidates that are equally near, it is the first. A candidate itself is not a misspelling.
func Word(word string, candidates []string) string {
	best, fewest := "", allowed(word)+1
	lower := strings.ToLower(word)
	for _, candidate := range candidates {
		if candidate == word {
			return ""
		}
		if len(candidate) > maxLength || difference(len(candidate), len(word)) >= fewest {
			continue
		}
		if d := distance(lower, strings.ToLower(candidate)); d < fewest {
			best, fewest = candidate, d
		}
	}
	return best
}

// Kind returns the CDI kind of the first of the qualified names whose vendor and class are each that of kind or what it
// is a misspelling of, or "". A class with one more letter in front is another one: NVIDIA has gpu, pgpu and vgpu.
func Kind(kind string, names []string) string {
	vendor, class, _ := strings.Cut(kind, "/")
	for _, name := range names {
		known, _, _ := strings.Cut(name, "=")
		v, c, _ := strings.Cut(known, "/")
		if known != kind && nearly(vendor, v) && nearly(class, c) && (class == c || !strings.HasSuffix(class, c)) {
			return known
		}
	}
	return ""
}

// nearly reports whether word is name or a misspelling of it.
func nearly(word, name string) bool { return word == name || Word(word, []string{name}) != "" }

// allowed returns how many edits away from word a candidate may be, or -1 if word is not compared at all.
func allowed(word string) int {
	switch n := len(word); {
	case n < 2 || n > maxLength:
		return -1
	case n <= 4:
		return 1
	default:
		return 2
	}
}

func difference(a, b int) int { return max(a, b) - min(a, b) }

// distance returns how many bytes must be added, removed, replaced or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
