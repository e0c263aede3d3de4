package state

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// Bounds of the search in a large config.json: how much of it is in memory, and how long a string is that is returned.
const (
	window  = 1 << 20
	longest = 4 << 10
)

// Search looks, in the config.json of a bundle that is too large to be decoded, for a string that begins with one of
// the words and that matches. It returns the string, of which only the beginning is read if it is long, or "".
// Neither words nor strings have characters that JSON escapes. It is an error if the file is too large even for
// that.
func Search(bundle string, words []string, matches func(unsafeText string) bool) (unsafeText string, err error) {
	file, size, err := openConfig(filepath.Join(bundle, "config.json"))
	if err != nil {
		return "", err
	}
	defer file.Close()
	if size > limits.Searched {
		return "", ErrTooLarge
	}
	return search(file, words, matches)
}

func search(file *os.File, words []string, matches func(unsafeText string) bool) (string, error) {
	in := linux.NoWait(file)
	buffer := make([]byte, window)
	kept := 0 // of the part before, in which a string may have begun
	for {
		n, err := io.ReadFull(in, buffer[kept:])
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return "", err
		}
		part := buffer[:kept+n]
		if found := searchIn(part, ended, words, matches); found != "" || ended {
			return found, nil
		}
		kept = copy(buffer, part[len(part)-longest:])
	}
}

// searchIn is [Search] in a part of the file, which may be its last. A string that may go on in the next part is found
// when that is searched.
func searchIn(part []byte, last bool, words []string, matches func(unsafeText string) bool) string {
	for _, word := range words {
		quoted := []byte(`"` + word)
		for at := 0; ; {
			i := bytes.Index(part[at:], quoted)
			if i < 0 {
				break
			}
			start := at + i
			at = start + len(quoted)
			if start == 0 || part[start-1] == '\\' { // it was seen before, or is within a string
				continue
			}
			rest, closed := part[start+1:min(len(part), start+longest)], true
			if end := bytes.IndexByte(rest, '"'); end >= 0 {
				rest = rest[:end]
			} else {
				closed = start+longest <= len(part)
			}
			if (closed || last) && matches(string(rest)) {
				return string(rest)
			}
		}
	}
	return ""
}
