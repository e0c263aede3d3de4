package docs

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// TestCommands holds every gpu-hook command that a page shows to the help of the binary: the subcommand is there, and
// it has the flags. It runs none of them.
func TestCommands(t *testing.T) {
	h := helps{binary: require.GPUHook(t), of: map[string]string{}}
	found := 0
	for _, p := range pages(t) {
		for i, line := range p.lines {
			for _, words := range commandsOf(line) {
				found++
				if why := h.wrong(words); why != "" {
					t.Errorf("%s:%d: gpu-hook %s: %s", p.name, i+1, strings.Join(words, " "), why)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d commands were found", found)
	}
}

// commandsOf returns the words behind gpu-hook of the commands that a line shows: as code, or as a line in a block.
func commandsOf(line string) [][]string {
	var texts []string
	if isCode(line) {
		text, _, _ := strings.Cut(strings.TrimSpace(line), " #")
		texts = append(texts, text)
	} else {
		for _, code := range codePattern.FindAllString(line, -1) {
			texts = append(texts, strings.Trim(code, "`"))
		}
	}
	var out [][]string
	for _, text := range texts {
		text = strings.TrimPrefix(strings.TrimPrefix(text, "sudo "), "$ ")
		if rest, found := strings.CutPrefix(text, "gpu-hook "); found {
			rest, _, _ = strings.Cut(rest, " | ")
			out = append(out, strings.Fields(strings.NewReplacer("[", "", "]", "", "…", "").Replace(rest)))
		}
	}
	return out
}

// helps are the help texts of the binary, by subcommand; "" is the program's.
type helps struct {
	binary string
	of     map[string]string
}

func (h helps) text(command string) string {
	if text, found := h.of[command]; found {
		return text
	}
	args := []string{"help"}
	if command != "" {
		args = append(args, command)
	}
	out, err := exec.Command(h.binary, args...).CombinedOutput()
	if err != nil {
		out = nil
	}
	h.of[command] = string(out)
	return h.of[command]
}

// wrong says what of a command the binary does not know, or "".
func (h helps) wrong(words []string) string {
	command := ""
	for i, word := range words {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		switch {
		case isFlag && name == "help", isFlag && name == "version":
		case isFlag && !hasFlag(h.text(command), name):
			return "no flag --" + name
		case isFlag, command != "", i > 0 && strings.HasPrefix(words[i-1], "--"):
		case word == strings.ToUpper(word): // a placeholder
		case !hasCommand(h.text(""), word):
			return "no command " + word
		default:
			command = word
		}
	}
	return ""
}

func hasFlag(help, name string) bool {
	return regexp.MustCompile(`(^|[\s\[(])--?` + regexp.QuoteMeta(name) + `\b`).MatchString(help)
}

func hasCommand(help, name string) bool {
	return slices.ContainsFunc(strings.Split(help, "\n"), func(line string) bool {
		words := strings.Fields(line)
		return strings.HasPrefix(line, "  ") && len(words) > 0 && words[0] == name
	})
}
