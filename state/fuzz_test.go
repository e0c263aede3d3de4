package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// FuzzRead compares what is read of a state with what the specification's own type has, and replaces its bundle.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1.0.2","id":"c","status":"creating","pid":7,"bundle":"/b"}`))
	f.Add([]byte(`{"id":"c","bundle":"/","root":"/r","annotations":{"a":"b"},"x":[1.5e3],"pid":null}`))
	f.Add([]byte("null"))
	f.Add([]byte("{\"ID\":\"\\ud800\",\"id\":\"\xff\"}"))
	caller := &Caller{func() commandLines { return commandLines{} }}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(bytes.NewReader(data))
		var want specs.State
		if wantErr := json.Unmarshal(data, &want); len(data) <= limits.State && err == nil && wantErr != nil {
			t.Fatalf("it is read, and has an error: %v", wantErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, s.State); diff != "" || !bytes.Equal(s.Raw, data) {
			t.Error(diff)
		}
		here := State{State: s.State, Root: s.Root, Raw: s.Raw}.Located(caller)
		caller := &Caller{func() commandLines { return commandLines{runtime: []string{"runc", "--bundle", "/n", s.ID}} }}
		there := s.Located(caller)
		if s.ID == "" || canBeBundle(s.Bundle) {
			there = here
		}
		again, err := Read(bytes.NewReader(there.Raw))
		// A replaced bundle must be the one that a foreign program reads from Raw, too.
		if again.Bundle != there.Bundle || err != nil {
			t.Errorf("bundle %q, in the state that is handed on %q, %v", there.Bundle, again.Bundle, err)
		}
	})
}

// FuzzDecodeConfig compares what is read of a config.json with what the specification's own type has in these fields.
// Other fields are not looked at: a value of a wrong type there is the runtime's to refuse.
func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte(complete))
	files, err := filepath.Glob(filepath.Join(require.Tree(), "test/recordings/testdata/crun-*.config.json"))
	if err != nil || len(files) == 0 {
		f.Fatal("no recordings", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"process":{"env":["A=1"]},"PROCESS":{"env":["B=2"]},"proceſs":null,"linux":{"devices":[{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeConfig(bytes.NewReader(data), int64(len(data)))
		var whole *specs.Spec
		if json.Unmarshal(data, &whole) != nil || whole == nil {
			return
		}
		if err != nil {
			t.Fatalf("it is refused, and is a spec: %v", err)
		}
		if diff := cmp.Diff(readOf(whole), got); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzStatFields: whatever the name of a command, the parent is the one that the kernel wrote.
func FuzzStatFields(f *testing.F) {
	f.Add("bash", "S", 1, " 1 1 0 -1")
	f.Add("a) S 1 (b", "S", 42, "")
	f.Add("a\n1 (x) R 7", "R", 0, "\n")
	f.Fuzz(func(t *testing.T, name, status string, parent int, rest string) {
		_, _ = statFields(name)
		if len(status) != 1 || strings.ContainsAny(status, ") \t\n\v\f\rZX") || strings.Contains(rest, ")") ||
			status[0] < '!' || status[0] > '~' {
			return
		}
		got, err := statFields(fmt.Sprintf("17 (%s) %s %d %s", name, status, parent, rest))
		if err != nil || got[1] != strconv.Itoa(parent) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
