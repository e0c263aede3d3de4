package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestCheckupText(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 30))
	c := &Checkup{Host: "podman"}
	c.Add("a", CheckOK, "fine", "")
	c.Put(Check{Name: "b", Status: CheckWarn, Message: "look", Hint: "do that"})
	c.Put(Check{
		Name: "c", Status: CheckFail, Message: long, Fix: "command " + long, Hint: "at boot too", Not: "this",
		Cause: "x",
	})
	c.Put(Check{Name: "d", Status: CheckWarn, Message: "the same", Details: []string{"seen", "seen"}, Cause: "x"})
	c.Finish()
	want := `podman

FAIL  1  word word word word word word word word word word word word word word word word word word word word word word
         word word word word word word word word
         the same
         seen
         fix: command ` + long + `
         at boot too
         not: this
WARN  2  look
         fix: do that
ok       1 more (gpu-hook doctor --all)

One thing keeps containers from their devices: see 1.
`
	var out strings.Builder
	if err := c.Text(&out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	out.Reset()
	c.All = true
	if err := c.Text(&out); err != nil || !strings.Contains(out.String(), "\nok       a: fine\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// Where nothing was found, what is fine is not more than that.
func TestCheckupTextWithoutFindings(t *testing.T) {
	c := &Checkup{}
	c.Add("a", CheckOK, "fine", "")
	c.Add("b", CheckOK, "fine", "")
	c.Finish()
	var out strings.Builder
	want := "ok       2 checks (gpu-hook doctor --all)\n\nContainers can get their devices.\n"
	if err := c.Text(&out); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestSummary(t *testing.T) {
	for _, test := range []struct {
		statuses, want string
	}{
		{"ok", "Containers can get their devices."},
		{"ok warn", "Containers can get their devices; one warning: see 1."},
		{"warn warn", "Containers can get their devices; 2 warnings."},
		{"warn fail fail", "2 things keep containers from their devices; begin with 1."},
	} {
		c := &Checkup{}
		for _, status := range strings.Fields(test.statuses) {
			c.Add("x", status, "m", "")
		}
		c.Finish()
		if c.Summary != test.want || c.Failed() != strings.Contains(test.statuses, CheckFail) {
			t.Errorf("%s: %s", test.statuses, c.Summary)
		}
	}
}

// Of two checks with one cause the worse status stays.
func TestPutWorse(t *testing.T) {
	c := &Checkup{}
	c.Put(Check{Status: CheckWarn, Message: "a", Cause: "x"})
	c.Put(Check{Status: CheckFail, Message: "b", Cause: "x"})
	if len(c.Checks) != 1 || c.Checks[0].Status != CheckFail || c.Checks[0].Message != "a" {
		t.Errorf("%+v", c.Checks)
	}
}

func TestLastRefused(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if LastRefused(dir) != nil {
		t.Error("there is none")
	}
	records := filepath.Join(dir, "records")
	if err := os.Mkdir(records, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, record := range []string{"applied", "refused", "failed", "applied"} {
		file := filepath.Join(records, string(rune('a'+i))+".json")
		text := `{"container": {"id": "` + string(rune('a'+i)) + `"}, "result": "` + record + `"}`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Unix(int64(1000+i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	r := LastRefused(dir)
	if r == nil || r.Container.ID != "c" {
		t.Errorf("%+v", r)
	}
}

func TestAgo(t *testing.T) {
	then := time.Unix(1700000000, 0)
	for d, want := range map[time.Duration]string{
		time.Second: "less than a minute ago", 3 * time.Minute: "3 min ago", 5 * time.Hour: "5 h ago",
		72 * time.Hour: "3 days ago",
	} {
		if got := Ago(then, then.Add(d)); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}
