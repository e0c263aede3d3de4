package main

import (
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// defaultWidth is the width of text that does not go to a terminal, in columns.
const defaultWidth = 80

// minWidth is the width below which text is not broken any more.
const minWidth = 20

// terminal is what output goes to.
type terminal struct {
	width   int  // in columns
	is      bool // a terminal
	colours bool
}

// terminalOf describes what the writer writes to. There are colours on a terminal only, unless it is a dumb one or the
// user has set NO_COLOR.
func terminalOf(w io.Writer) terminal {
	t := terminal{width: defaultWidth}
	file, ok := w.(*os.File)
	if !ok {
		return t
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return t
	}
	t.is = true
	if size.Col >= minWidth {
		t.width = int(size.Col)
	}
	noColour, _ := syscall.Getenv("NO_COLOR")
	name, _ := syscall.Getenv("TERM")
	t.colours = noColour == "" && name != "" && name != "dumb"
	return t
}

// shown returns the text as the terminal shows it best: its long lines broken and its status words coloured. Text that
// does not go to a terminal stays as it is.
func (t terminal) shown(text string) string {
	if !t.is {
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if !isToCopy(line) {
			line = foldLine(line, hangOf(line, t.width), t.width)
		}
		if t.colours {
			line = coloured(line)
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// isToCopy reports whether the line names a command to run. The terminal breaks it itself, in such a way that it can be
// copied.
func isToCopy(line string) bool {
	line = strings.TrimLeft(line, " ")
	return strings.HasPrefix(line, "fix: ") || strings.HasPrefix(line, "more: ")
}

// hangOf returns the column at which the further lines of a line that is too long begin: that of its last column in the
// left half, or a little more than its own.
func hangOf(line string, width int) int {
	hang := len(line) - len(strings.TrimLeft(line, " ")) + 4
	for i := 2; i < min(len(line), width/2); i++ {
		if line[i-2:i] == "  " && line[i] != ' ' && strings.TrimLeft(line[:i], " ") != "" {
			hang = i
		}
	}
	return hang
}

// fold breaks a text that begins behind hang, so that no line is longer than width if words allow it.
func fold(text, hang string, width int) string {
	return strings.TrimPrefix(foldLine(hang+text, len(hang), width), hang)
}

// foldLine breaks a line at spaces, so that no line is longer than width if words allow it. Its further lines begin
// with hang spaces.
func foldLine(line string, hang, width int) string {
	var out strings.Builder
	for utf8.RuneCountInString(line) > width {
		i := breakOf(line, hang, width)
		if i < 0 {
			break
		}
		out.WriteString(strings.TrimRight(line[:i], " ") + "\n")
		line = strings.Repeat(" ", hang) + strings.TrimLeft(line[i:], " ")
	}
	return out.String() + line
}

// breakOf returns the index of the last space behind hang at which the line is no longer than width or, if there is
// none, of the first space behind that, or -1.
func breakOf(line string, hang, width int) int {
	found, column, begun := -1, 0, false
	for i, r := range line {
		switch {
		case r != ' ':
			begun = begun || column >= hang
		case begun && (column <= width || found < 0):
			found = i
		}
		column++
	}
	return found
}

// coloured returns the line with its status word coloured, if it begins with one or says how a container fared.
func coloured(line string) string {
	word, _, _ := strings.Cut(line, " ")
	if colour := colourOf(word); colour != "" {
		return colour + word + colourEnd + line[len(word):]
	}
	if i := strings.LastIndex(line, ": ") + len(": "); !strings.HasPrefix(line, " ") && i > 1 {
		if colour := colourOf(line[i:]); colour != "" {
			return line[:i] + colour + line[i:] + colourEnd
		}
	}
	return line
}

const colourEnd = "\x1b[0m"

// colourOf returns what begins the colour of a status word or verdict, or "".
func colourOf(word string) string {
	switch strings.ToLower(word) {
	case "fail", "error", "cause:", "would not start", "did not start":
		return "\x1b[31m"
	case "warn", "warning":
		return "\x1b[33m"
	case "ok", "would start", "got its devices":
		return "\x1b[32m"
	}
	return ""
}
