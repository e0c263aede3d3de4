package quiet

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func isQuiet(config string) bool { return Spec([]byte(config), NewTriggers()) }

// every calls fn with every text of the letters up to a length.
func every(letters string, length int, fn func(string)) {
	var add func(prefix string)
	add = func(prefix string) {
		fn(prefix)
		if len(prefix) == length {
			return
		}
		for i := range len(letters) {
			add(prefix + letters[i:i+1])
		}
	}
	add("")
}

// What is quiet is JSON, whatever its values are.
func TestSyntax(t *testing.T) {
	quiet := 0
	check := func(text string) {
		if !isQuiet(text) {
			return
		}
		quiet++
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			t.Errorf("it is taken for JSON: %q", text)
		}
	}
	value := func(text string) { check(`{"x":` + text + `}`) }
	every("01.eE+-", 5, value)
	every("{}[]:,\"1n ", 5, value)
	every("{}\":,a ", 6, check)
	every("\\\"u0n", 6, func(text string) { value(`"` + text + `"`) })
	every("\x00\x1f \x7f\x80\xc3\xa9\xed\xa0\xff\"", 4, func(text string) {
		value(`"a` + text + `"`)
		value(`"aaaaaaaa` + text + `aaaaaaaa"`)
	})
	for _, word := range []string{"true", "false", "null"} {
		for i := range len(word) {
			value(word[:i])
			value(word[:i] + "x" + word[i+1:])
		}
		value(word + "x")
	}
	check("{}\x00")
	if quiet < 1000 {
		t.Errorf("only %d are quiet", quiet)
	}
}

// Every character of ASCII, at every place in a string.
func TestCharacters(t *testing.T) {
	const places = 20
	for c := range byte(utf8.RuneSelf) {
		for place := range places {
			text := `{"x":"` + strings.Repeat("a", place) + string(rune(c)) + strings.Repeat("a", places-place) + `"}`
			want := c >= ' ' && c != '"' && c != '\\'
			if isQuiet(text) != want {
				t.Errorf("%q: want %v", text, want)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	nested := func(depth int) string {
		return `{"x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}"
	}
	objects := strings.Repeat(`{"x":`, maxDepth) + "{}" + strings.Repeat("}", maxDepth)
	if !isQuiet(nested(maxDepth)) || isQuiet(nested(maxDepth+1)) || isQuiet(objects) {
		t.Error("values are nested deeper than they may be, or less")
	}
	large := func(size int) string { return `{"x":"` + strings.Repeat("a", size-8) + `"}` }
	if !isQuiet(large(MaxSpec)) || isQuiet(large(MaxSpec+1)) {
		t.Error("a config.json is larger than it may be, or smaller")
	}
	config := func(size int) bool { return NewTriggers().AddConfig([]byte(strings.Repeat("#", size))) }
	if !config(MaxConfig) || config(MaxConfig+1) {
		t.Error("a configuration is larger than it may be, or smaller")
	}
	if NewTriggers().AddConfig([]byte(strings.Repeat("x = 'y'\n", maxNames))) {
		t.Error("a configuration has more strings than it may have")
	}
}

// No field's key is longer, in any letters that fold to its own, than keys that are compared.
func TestLongKeys(t *testing.T) {
	for _, key := range []string{"enableMonitoring", "createContainer"} {
		if !isQuiet(`{"hooks":{"` + key + `x":7},"linux":{"intelRdt":{"` + key + `x":7}}}`) {
			t.Errorf("%sx is a field", key)
		}
	}
	if isQuiet(`{"hooKs":7}`) || isQuiet(`{"hooks":7}`) || isQuiet(`{"hoo\u212as":7}`) || isQuiet("{\"hoo\u212as\":7}") {
		t.Error("a key folds to a field and is not seen")
	}
}
