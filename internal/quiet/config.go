package quiet

// MaxConfig bounds a configuration file of gpu-hook whose containers may be quiet, in bytes.
const MaxConfig = 64 << 10

// maxNames bounds the triggers of a configuration file.
const maxNames = 256

// AddConfig makes a trigger of every string in a configuration file: one of them may be the prefix of annotations or
// the name of a variable that requests devices. It returns false if what is a string there is not clear.
func (t *Triggers) AddConfig(toml []byte) bool {
	if len(toml) > MaxConfig {
		return false
	}
	t.otherVariables = t.otherVariables || hasEnv(toml)
	for i := 0; i < len(toml); i++ {
		switch c := toml[i]; c {
		case '#':
			for i < len(toml) && toml[i] != '\n' {
				i++
			}
		case '"', '\'':
			end := closing(toml[i+1:], c)
			if end < 0 || len(t.names) == maxNames {
				return false
			}
			t.add(string(toml[i+1 : i+1+end]))
			i += end + 1
		}
	}
	return true
}

// hasEnv reports whether a configuration may have one of the keys env and preferred-env. The case of a key's letters
// does not matter to the library that reads it.
func hasEnv(toml []byte) bool {
	const key = "env"
	for i := 0; i+len(key) <= len(toml); i++ {
		if lower(toml[i]) == key[0] && lower(toml[i+1]) == key[1] && lower(toml[i+2]) == key[2] {
			return true
		}
	}
	return false
}

// closing returns the length of a string up to its closing quote, or -1. Not read are strings of several lines,
// escapes, characters beyond ASCII, and those that JSON may write as an escape.
func closing(toml []byte, quote byte) int {
	for i, c := range toml {
		switch {
		case c == quote:
			if i == 0 && len(toml) > 1 && toml[1] == quote {
				return -1
			}
			return i
		case c < ' ', c >= 0x7f, c == '\\', c == '"', c == '<', c == '>', c == '&':
			return -1
		}
	}
	return -1
}
