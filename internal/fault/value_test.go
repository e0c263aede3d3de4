package fault

import "testing"

func TestValue(t *testing.T) {
	for text, want := range map[string]string{
		"0":                     "0",
		"driver=nvidia,all":     "driver=nvidia,all",
		"GPU-0…555":             "GPU-0…555",
		"":                      `""`,
		"a b":                   "'a b'",
		`[{"Driver":"nvidia"}]`: `'[{"Driver":"nvidia"}]'`,
		`"count=2`:              `'"count=2'`,
		"it's":                  `"it's"`,
		"a\nb":                  `"a\nb"`,
		`a\b`:                   `"a\\b"`,
		"é":                     `"é"`,
	} {
		if got := Value(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
