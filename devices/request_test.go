package devices

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The name of a case says how it differs from Docker.
func TestParseGPUs(t *testing.T) {
	caps := func(all ...string) [][]string { return [][]string{all} }
	gpu := caps("gpu")
	count := func(n int) Request { return Request{Count: n, Capabilities: gpu} }
	ids := func(ids ...string) Request { return Request{DeviceIDs: ids, Capabilities: gpu} }
	opts := Request{
		Driver: "nvidia", Count: 1, Capabilities: caps("compute", "utility", "gpu"),
		Options: map[string]string{"foo": "bar", "baz": "qux"},
	}
	for _, test := range []struct {
		name, in string
		want     Request
		err      string
	}{
		{"all", "all", count(-1), ""},
		{"-1", "-1", count(-1), ""},
		{"count=all", "count=all", count(-1), ""},
		{"count=-1", "count=-1", count(-1), ""},
		{"a number", "2", count(2), ""},
		{"zero", "0", count(0), ""},
		{"another negative", "-5", count(-5), ""},
		{"one id", "device=0", ids("0"), ""},
		{"ids, quoted", `"device=0,1"`, ids("0", "1"), ""},
		{"Docker: count 1 too", "device=0,1", ids("0", "1"), ""},
		{"Docker: count -1 too", "device=GPU-1,all", ids("GPU-1", "all"), ""},
		{
			"ids and capabilities, quoted", `"device=0,2",capabilities=utility`,
			Request{DeviceIDs: []string{"0", "2"}, Capabilities: caps("utility", "gpu")},
			"",
		},
		{
			"Docker: an error", "device=0,2,capabilities=compute,utility",
			Request{DeviceIDs: []string{"0", "2"}, Capabilities: caps("compute", "utility", "gpu")},
			"",
		},
		{
			"Docker: an invalid count", "capabilities=compute,utility",
			Request{Count: 1, Capabilities: caps("compute", "utility", "gpu")},
			"",
		},
		{
			"capabilities, then a bare count", "capabilities=compute,2",
			Request{Count: 2, Capabilities: caps("compute", "gpu")},
			"",
		},
		{
			"capabilities, then all", "capabilities=compute,utility,all",
			Request{Count: -1, Capabilities: caps("compute", "utility", "gpu")},
			"",
		},
		{
			"capabilities, quoted", `"capabilities=compute,utility"`,
			Request{Count: 1, Capabilities: caps("compute", "utility", "gpu")},
			"",
		},
		{
			"capabilities and ids", "capabilities=compute,utility,device=0,1",
			Request{DeviceIDs: []string{"0", "1"}, Capabilities: caps("compute", "utility", "gpu")},
			"",
		},
		{"a driver", "driver=nvidia.cdi", Request{Driver: "nvidia.cdi", Count: 1, Capabilities: gpu}, ""},
		{"a driver, all", "driver=amd,all", Request{Driver: "amd", Count: -1, Capabilities: gpu}, ""},
		{"a list ends with the next key", "device=0,driver=amd,1", Request{}, "it has both a count and device ids"},
		{"options", `driver=nvidia,"capabilities=compute,utility","options=foo=bar,baz=qux"`, opts, ""},
		{"options, bare count", `driver=nvidia,"capabilities=compute,utility","options=foo=bar,baz=qux",1`, opts, ""},
		{"options, count first", `count=1,driver=nvidia,"capabilities=compute,utility","options=foo=bar,baz=qux"`, opts, ""},
		{"options, count last", `driver=nvidia,"capabilities=compute,utility","options=foo=bar,baz=qux",count=1`, opts, ""},
		{"a CDI name", "device=nvidia.com/gpu=0", ids("nvidia.com/gpu=0"), ""},
		{
			"Docker: an error", "device=nvidia.com/gpu=0,nvidia.com/gpu=1,2", ids("nvidia.com/gpu=0", "nvidia.com/gpu=1", "2"),
			"",
		},
		{"no capability", "capabilities=", Request{Count: 1, Capabilities: caps("", "gpu")}, ""},

		{
			"a CDI name without device=", "nvidia.com/gpu=0",
			Request{},
			`unexpected key "nvidia.com/gpu" in "nvidia.com/gpu=0" (keys: driver, count, device, capabilities, options)`,
		},
		{"count and ids", "count=2,device=0", Request{}, "it has both a count and device ids"},
		{"Docker: the last", "1,2", Request{}, `the count is given twice, the second time as "2"`},
		{"bare and count=", "1,count=2", Request{}, `key "count" is given twice`},
		{"count= and bare", "count=2,1", Request{}, `the count is given twice, the second time as "1"`},
		{"all twice", "all,all", Request{}, `the count is given twice, the second time as "all"`},
		{"device twice", "device=0,device=1", Request{}, `key "device" is given twice`},
		{"empty", "", Request{}, "it is empty"},
		{
			"unknown key", "foo=bar",
			Request{},
			`unexpected key "foo" in "foo=bar" (keys: driver, count, device, capabilities, options)`,
		},
		{
			"options, not quoted", "options=foo=bar,baz=qux",
			Request{},
			`unexpected key "baz" in "baz=qux" (keys: driver, count, device, capabilities, options)`,
		},
		{"option without value", "options=foo", Request{}, `option "foo" is not of the form key=value`},
		{"option without name", "options==bar", Request{}, `option "=bar" is not of the form key=value`},
		{"count=x", "count=x", Request{}, `count "x" is neither "all" nor a whole number`},
		{"count=", "count=", Request{}, `count "" is neither "all" nor a whole number`},
		{"ALL", "ALL", Request{}, `count "ALL" is neither "all" nor a whole number`},
		{"void", "void", Request{}, `count "void" is neither "all" nor a whole number`},
		{"none", "none", Request{}, `count "none" is neither "all" nor a whole number`},
		{"a fraction", "1.5", Request{}, `count "1.5" is neither "all" nor a whole number`},
		{"an empty id", "device=", Request{}, "a device id is empty"},
		{"an empty id at the end", "device=0,", Request{}, "a device id is empty"},
		{
			"an open quote", `"device=0`,
			Request{},
			`its quotes do not match: they stand around a whole key=value, as in "device=0,1"`,
		},
	} {
		t.Run(test.name+" "+test.in, func(t *testing.T) {
			got, err := ParseGPUs(test.in)
			if err == nil {
				_, err = got.IDs()
			}
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %+v, %v\nwant %s", got, err, test.err)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestParseRequests(t *testing.T) {
	zero := strings.Repeat(`{"Count":1},`, maxRequests)
	for _, test := range []struct {
		name, in string
		want     []Request
		err      string
	}{
		{"--gpus syntax", "device=0", []Request{{DeviceIDs: []string{"0"}, Capabilities: [][]string{{"gpu"}}}}, ""},
		{
			"a list",
			` [{"Driver":"nvidia","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu","compute"],["tpu"]],` +
				`"Options":{"a":"b"}}, {"DeviceIDs":["0"]}] `,
			[]Request{
				{
					Driver: "nvidia", Count: -1, Capabilities: [][]string{{"gpu", "compute"}, {"tpu"}},
					Options: map[string]string{"a": "b"},
				},
				{DeviceIDs: []string{"0"}},
			},
			"",
		},
		{"--gpus syntax, wrong", "none", nil, `count "none" is neither "all" nor a whole number`},
		{"empty", "[]", nil, "the list is empty"},
		{"too many", "[" + zero + `{"Count":1}]`, nil, "65 requests are too many (64)"},
		{"something follows", `[{"Count":1}] 2`, nil, "something follows the JSON list"},
		{"garbage follows", `[{"Count":1}]]`, nil, "something follows the JSON list"},
		{
			"an unknown field", `[{"Colour":"red"}]`, nil,
			`key "Colour" is not one of a device request: Driver, Count, DeviceIDs, Capabilities, Options`,
		},
		{"cut off", `[{"Count":1}`, nil, "it is not valid JSON: it ends too early"},
		{"no list", `{"Count":1}`, nil, "a device request in JSON must be in a list: put [ and ] around it"},
		{"another type", `[{"Count":"1"}]`, nil, "Count of a device request cannot be a JSON string"},
		{"no object", `[1]`, nil, "a device request cannot be a JSON number"},
		{"a comma too many", `[{"Count":1,}]`, nil, "it is not valid JSON at character 13"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseRequests(test.in)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %+v, %v\nwant %s", got, err, test.err)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	if got, err := ParseRequests("[" + strings.TrimSuffix(zero, ",") + "]"); err != nil || len(got) != maxRequests {
		t.Errorf("%d requests, %v", len(got), err)
	}
}

// These are the cases of moby's own test, where the set is foo and bar.
func TestMatch(t *testing.T) {
	set := []string{"foo", "bar"}
	for _, test := range []struct {
		name string
		set  []string
		in   [][]string
		want []string
		ok   bool
	}{
		{"nil", set, nil, nil, false},
		{"no list", set, [][]string{}, nil, false},
		{"an empty list", set, [][]string{{}}, []string{}, true},
		{"one", set, [][]string{{"foo"}}, []string{"foo"}, true},
		{"the first of two", set, [][]string{{"bar"}, {"foo"}}, []string{"bar"}, true},
		{"both at once", set, [][]string{{"foo", "bar"}}, []string{"foo", "bar"}, true},
		{"the second", set, [][]string{{"qux"}, {"foo"}}, []string{"foo"}, true},
		{"the first of three", set, [][]string{{"foo", "bar"}, {"baz"}, {"bar"}}, []string{"foo", "bar"}, true},
		{"unknown", set, [][]string{{"qux"}}, nil, false},
		{"one too many", set, [][]string{{"foo", "bar", "qux"}}, nil, false},
		{"two unknown", set, [][]string{{"qux"}, {"baz"}}, nil, false},
		{"half known", set, [][]string{{"foo", "baz"}}, nil, false},
		{"an empty set", []string{}, [][]string{{}}, []string{}, true},
		{"no set", nil, [][]string{{}}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := Request{Capabilities: test.in}.Match(test.set)
			if diff := cmp.Diff(test.want, got); diff != "" || ok != test.ok {
				t.Error(ok, diff)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	for _, test := range []struct {
		name    string
		request Request
		want    []string
		err     string
	}{
		{"nothing", Request{}, []string{}, ""},
		{"a count", Request{Count: 3}, []string{"0", "1", "2"}, ""},
		{"all", Request{Count: -1}, []string{"all"}, ""},
		{"any negative", Request{Count: -7}, []string{"all"}, ""},
		{"ids, as given", Request{DeviceIDs: []string{"1", "GPU-2", "1"}}, []string{"1", "GPU-2", "1"}, ""},
		{"both", Request{Count: 1, DeviceIDs: []string{"0"}}, nil, "it has both a count and device ids"},
		{"all and ids", Request{Count: -1, DeviceIDs: []string{"0"}}, nil, "it has both a count and device ids"},
		{"absurd", Request{Count: maxCount + 1}, nil, "count 4097 is more than any host has (4096)"},
		{"empty id", Request{DeviceIDs: []string{"0", ""}}, nil, "a device id is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.request.IDs()
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" || text != test.err {
				t.Error(err, diff)
			}
		})
	}
	if got, err := (Request{Count: maxCount}).IDs(); err != nil || len(got) != maxCount || got[maxCount-1] != "4095" {
		t.Errorf("%d ids, %v", len(got), err)
	}
}
