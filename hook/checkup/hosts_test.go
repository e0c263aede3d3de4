package checkup

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/probe"
	"github.com/gpu-hook/gpu-hook/test/require"
)

var update = flag.Bool("update", false, "write what was seen into testdata")

// broken is a host, and what a look over it must find: the first finding's words, and those of its fix.
type broken struct {
	name  string
	tree  tree
	alter func(*host)       // of what was read, for what a tree cannot show
	said  map[string]string // what programs say; a line that begins with "!" is that of one that fails

	engine string
	user   bool
	cause  string // "" if nothing may be found
	fix    string
	warns  bool // whether containers get their devices all the same
}

func hosts() []broken {
	return slices.Concat(
		healthyHosts(), engineHosts(), driverHosts(), specHosts(), moreHosts(), incompleteHosts(), readOnlyHosts(),
		askedHosts(),
	)
}

// Every check is made on every host, so that the findings of one host are false alarms on the others.
func TestHosts(t *testing.T) {
	require.Root(t)
	var seen strings.Builder
	for _, host := range hosts() {
		t.Run(host.name, func(t *testing.T) {
			found := host.look(t)
			fmt.Fprintf(&seen, "== %s ==\n%s\n", host.name, text(t, found))
			first := report.Check{Status: report.CheckOK}
			if len(found.Checks) > 0 {
				first = found.Checks[0]
			}
			want := report.CheckFail
			switch {
			case host.cause == "":
				want = report.CheckOK
			case host.warns:
				want = report.CheckWarn
			}
			if first.Status != want {
				t.Errorf("the worst is %q, want %q: %s", first.Status, want, first.Message)
			}
			if host.cause != "" && !strings.Contains(first.Message, host.cause) {
				t.Errorf("the first finding is %q, want %q", first.Message, host.cause)
			}
			if host.fix != "" && !strings.Contains(first.Fix+" "+first.Hint, host.fix) {
				t.Errorf("the fix is %q %q, want %q", first.Fix, first.Hint, host.fix)
			}
		})
	}
	golden(t, "testdata/hosts.txt", seen.String())
}

func (b *broken) look(t *testing.T) *report.Checkup {
	t.Helper()
	dir := t.TempDir()
	b.tree.make(t, dir)
	return b.lookAt(t, dir)
}

// lookAt makes every check on the host whose root directory is dir.
func (b *broken) lookAt(t *testing.T, dir string) *report.Checkup {
	t.Helper()
	out := &report.Checkup{All: true}
	places := Places{Shared: sharedDir, Podman: podmanDir}
	if b.user {
		places.User, places.UserDir = true, "/home/alice/.config"
		places.Shared = "/home/alice/.config/containers/oci/hooks.d"
		places.Podman = places.Shared
	}
	err := inRoot(dir, func() error {
		o := hook.Options{Engine: b.engine}
		places.Plan = func(gpus string) (*report.Report, error) {
			return hook.Example{GPUs: &gpus}.Explain(o)
		}
		c, err := config.Options{}.Load()
		if err != nil {
			return err
		}
		if b.said != nil {
			places.Ask = b.ask
		}
		h := look("/", c, b.engine, places)
		if b.alter != nil {
			b.alter(h)
		}
		for _, check := range h.examine() {
			out.Put(check)
		}
		out.Finish()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ask is an [Asker] of programs that say what the host has for them.
func (b *broken) ask(program string, args ...string) (string, error) {
	said, known := b.said[strings.Join(append([]string{program}, args...), " ")]
	if !known {
		return "", probe.ErrNoAnswer
	}
	if why, fails := strings.CutPrefix(said, "!"); fails {
		return why, errors.New("exit status 1")
	}
	return said, nil
}

func text(t *testing.T, c *report.Checkup) string {
	t.Helper()
	var out strings.Builder
	if err := c.Text(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
