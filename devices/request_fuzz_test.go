package devices

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// docker reads the value of --gpus as Docker does (docker/cli, opts/gpus.go).
func docker(value string) (Request, error) {
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return Request{}, err
	}
	r, seen := Request{}, map[string]bool{}
	count := func(text string) error {
		if text == "all" {
			r.Count = -1
			return nil
		}
		r.Count, err = strconv.Atoi(text)
		return err
	}
	for _, field := range fields {
		key, value, found := strings.Cut(field, "=")
		if seen[key] {
			return r, fmt.Errorf("%q twice", key)
		}
		seen[key] = true
		var err error
		switch {
		case !found && (seen["device"] || seen["capabilities"]):
			err = errors.New("a list without quotes, which ParseGPUs reads as one")
		case !found:
			seen["count"] = true
			err = count(key)
		case key == "driver":
			r.Driver = value
		case key == "count":
			err = count(value)
		case key == "device":
			r.DeviceIDs = strings.Split(value, ",")
		case key == "capabilities":
			r.Capabilities = [][]string{append(strings.Split(value, ","), "gpu")}
		case key == "options":
			r.Options, err = dockerOptions(value)
		default:
			err = errors.New(key)
		}
		if err != nil {
			return r, err
		}
	}
	if !seen["count"] && r.DeviceIDs == nil {
		r.Count = 1
	}
	if r.Capabilities == nil {
		r.Capabilities = [][]string{{"gpu"}}
	}
	// The daemon refuses what the client has passed on.
	if r.Count != 0 && len(r.DeviceIDs) > 0 {
		return r, errors.New("both a count and ids")
	}
	return r, nil
}

func dockerOptions(value string) (map[string]string, error) {
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, field := range fields {
		k, v, _ := strings.Cut(field, "=")
		out[k] = v
	}
	return out, nil
}

// FuzzParseGPUs: what Docker takes means the same here, or is an error; and what is read means the same in JSON.
func FuzzParseGPUs(f *testing.F) {
	for _, seed := range []string{
		"all", "2", "-1", "device=0", `"device=0,1"`, `"device=0,1",driver=nvidia`, `driver=cdi,"device=nvidia.com/gpu=0"`,
		"count=2,capabilities=utility", `"capabilities=compute,utility",count=all`, "device=0,1", `options=a=b`,
		`"options=a=b,c=d"`, "", "\n", "all\nall", "device=", ",", `"`, "count=+1", "count=0x1", "driver=", "2,2", "=",
		`"device=0,""1"`, "device=0,nvidia.com/gpu=1", "capabilities=gpu,2", "\r\n2", "# all", " all",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := ParseGPUs(value)
		if want, wantErr := docker(value); wantErr == nil && err == nil && !slices.Contains(want.DeviceIDs, "") {
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Docker reads it in another way: %s", diff)
			}
		}
		if err != nil {
			return
		}
		data, err := json.Marshal([]Request{got})
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRequests(string(data))
		if utf8 := strings.ToValidUTF8(value, "") == value; err != nil || utf8 && !cmp.Equal([]Request{got}, again) {
			t.Errorf("%+v is as JSON %+v, %v", got, again, err)
		}
		if ids, err := got.IDs(); err == nil && (len(ids) > maxCount+len(got.DeviceIDs) || slices.Contains(ids, "")) {
			t.Errorf("%d ids: %q", len(ids), ids)
		}
	})
}

// FuzzParseRequests: a list of Docker's requests is read as it is written again, or is an error.
func FuzzParseRequests(f *testing.F) {
	for _, seed := range []string{
		`[{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}]`, `[{"Count":1},{"Count":2}]`,
		`[{"DeviceIDs":["0","GPU-x"],"Capabilities":[["gpu","compute"],["x"]],"Options":{"a":"b"}}]`, `[null]`, `[]`,
		`[{"count":1,"Count":2}]`, `[{"Count":1}] x`, `[{"Count":1e2}]`, `[{"Coun\u0074":1}]`, ` [{}]`, `{"Count":1}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := ParseRequests(value)
		if err != nil {
			if strings.Contains(err.Error(), "json:") || strings.Contains(err.Error(), "Go ") {
				t.Errorf("it is a word of the library: %v", err)
			}
			return
		}
		if len(got) == 0 || len(got) > maxRequests {
			t.Errorf("%d requests", len(got))
		}
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRequests(string(data))
		if utf8 := strings.ToValidUTF8(value, "") == value; err != nil || utf8 && !cmp.Equal(got, again) {
			t.Errorf("%+v is written as %s, %v", got, data, err)
		}
	})
}
