package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook"
)

// completion is the command completion. It prints what makes a shell complete this command line: the shell then runs
// gpu-hook with [completeCommand] and the words.
func completion(p process, _ hook.Options, args []string) error {
	flags := newFlags("completion", p, "completion bash | zsh | fish")
	if err := parse(flags, args); err != nil {
		return err
	}
	script := shellScript(flags.Arg(0))
	switch {
	case flags.NArg() > 1:
		return flags.wrong("completion takes no argument %q", flags.Arg(1))
	case flags.NArg() == 0:
		return flags.wrong("completion wants the name of a shell: %s", strings.Join(shells(), ", "))
	case script == "":
		return flags.wrong("shell %q is not one of: %s%s", flags.Arg(0), strings.Join(shells(), ", "),
			didYouMean(flags.Arg(0), shells()))
	}
	_, err := fmt.Fprint(p.stdout, script)
	return err
}

// shells returns the shells that have a completion.
func shells() []string { return []string{"bash", "zsh", "fish"} }

// shellScript returns the completion for a shell, or "". Each asks gpu-hook itself at every completion, so that it
// fits every version of it.
func shellScript(shell string) string {
	switch shell {
	case "bash":
		return bashScript
	case "zsh":
		return zshScript
	case "fish":
		return fishScript
	}
	return ""
}

// bash splits words at "=" and ":" too (COMP_WORDBREAKS), and replaces only what follows the last of them. The script
// joins the words again, and cuts off the candidates what comes before.
const bashScript = `# bash completion for gpu-hook. Load it with: source <(gpu-hook completion bash)
_gpu_hook() {
    local line=${COMP_LINE:0:COMP_POINT} words=() word i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $line == [[:blank:]]* ]]; then
            line=${line#"${line%%[![:blank:]]*}"}
            words+=("")
        fi
        ((i < COMP_CWORD)) || word=$line
        words[${#words[@]}-1]+=$word
        line=${line#"$word"}
    done
    words=("${words[@]//[\'\"]/}")
    local current=${words[${#words[@]}-1]} breaks=${COMP_WORDBREAKS//[^=:]/} before=
    [[ -z $breaks ]] || before=${current%"${current##*[$breaks]}"}
    local candidate about
    COMPREPLY=()
    while IFS=$'\t' read -r candidate about; do
        case $candidate in
        :files) compopt -o default ;;
        :directories) compopt -o dirnames ;;
        *)
            COMPREPLY+=("${candidate#"$before"}")
            [[ $candidate != *= ]] || compopt -o nospace
            ;;
        esac
    done < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _gpu_hook gpu-hook
`

const zshScript = `#compdef gpu-hook
# zsh completion for gpu-hook. Put it as _gpu-hook into a directory of $fpath.
_gpu_hook() {
    local line candidate
    local -a candidates open
    for line in "${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        candidate="${line%%$'\t'*}"
        case $candidate in
        '') ;;
        :files) compset -P '--*='; _files ;;
        :directories) compset -P '--*='; _files -/ ;;
        *=) open+=("$candidate") ;;
        *) candidates+=("${candidate//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( ! $#open )) || compadd -S '' -a open
    (( ! $#candidates )) || _describe -t gpu-hook gpu-hook candidates
}
if [[ $funcstack[1] == _gpu-hook ]]; then
    _gpu_hook "$@"
else
    compdef _gpu_hook gpu-hook
fi
`

const fishScript = `# fish completion for gpu-hook. Put it into ~/.config/fish/completions/gpu-hook.fish.
function __gpu_hook_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files*'
                __fish_complete_path (string replace -r '^--?[a-z-]+=' '' -- "$current")
            case ':directories*'
                __fish_complete_directories (string replace -r '^--?[a-z-]+=' '' -- "$current")
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c gpu-hook -f -a '(__gpu_hook_complete)'
`

// completeCommand is the command that shells run: gpu-hook __complete WORD... with the words behind the program's name,
// of which the last is to be completed.
const completeCommand = "__complete"

// candidate is what a word can be, and a few words about it.
type candidate struct{ word, about string }

// complete prints the candidates for the last word, a line with a tab for each. A candidate that begins with a colon is
// not one, but says that files or directories are. Completing never fails: what cannot be read has no candidates.
func complete(p process, words []string) error {
	if len(words) == 0 {
		return nil
	}
	c := newCompleter(p)
	for _, word := range words[:len(words)-1] {
		c.read(word)
	}
	word := words[len(words)-1]
	for _, found := range c.candidates(word) {
		if strings.HasPrefix(found.word, word) || strings.HasPrefix(found.word, ":") {
			if _, err := fmt.Fprintf(p.stdout, "%s\t%s\n", found.word, found.about); err != nil {
				return err
			}
		}
	}
	return nil
}

// unique returns the words as candidates, each once.
func unique(words []string, about string) []candidate {
	var out []candidate
	for _, word := range words {
		c := candidate{word, about}
		if word != "" && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
