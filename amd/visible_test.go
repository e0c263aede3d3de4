package amd

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/contract"
)

func TestParseVisible(t *testing.T) {
	ids := func(ids ...string) contract.Visible { return contract.Visible{IDs: ids} }
	nothing := func(why string) contract.Visible { return contract.Visible{Nothing: why} }
	for _, test := range []struct {
		in   string
		want contract.Visible
		err  string
	}{
		{"0", ids("0"), ""},
		{"2,0", ids("2", "0"), ""},
		{"0-2", ids("0", "1", "2"), ""},
		{"0-1,2", ids("0", "1", "2"), ""},
		{"0-3,5,8", ids("0", "1", "2", "3", "5", "8"), ""},
		{" 1-2 , 2,2-3,,", ids("1", "2", "3"), ""},
		{"3-3", ids("3"), ""},
		{"007", ids("7"), ""},
		{"all", ids("all"), ""},
		{"All", ids("all"), ""},
		{"ALL", ids("all"), ""},
		{"0,all", ids("all"), ""},
		{"aLL", ids("aLL"), ""},
		{"0xEF2C1799A1F3E2ED", ids("0xEF2C1799A1F3E2ED"), ""},
		{"0XEF,ef2c1799a1f3e2ed", ids("0XEF", "ef2c1799a1f3e2ed"), ""},
		{"123456789", ids("123456789"), ""},
		{"amd.com/gpu=0,card0,a-b,0-", ids("amd.com/gpu=0", "card0", "a-b", "0-"), ""},
		{"none", nothing("none"), ""},
		{"void", nothing("void"), ""},
		{"all,none", nothing("none"), ""},
		{"", nothing("empty"), ""},
		{" , ", nothing("empty"), ""},
		{"2-1", contract.Visible{}, `range "2-1" runs backwards`},
		{"0-4096", contract.Visible{}, `range "0-4096" is of more devices than any host has (4096)`},
		{
			"0-99999999999999999999",
			contract.Visible{},
			`range "0-99999999999999999999" is of more devices than any host has (4096)`,
		},
		{"0-4095,9999", contract.Visible{}, "more than 4096 devices are more than any host has"},
		{"0-4095,12-13", ids(indices(4096)...), ""},
		{strings.Repeat(",", maxValue+1), contract.Visible{}, "it is longer than 65536 bytes"},
	} {
		t.Run(test.in[:min(len(test.in), 30)], func(t *testing.T) {
			got, err := ParseVisible(test.in)
			diff := cmp.Diff(test.want, got)
			if diff != "" || (err == nil) != (test.err == "") || (err != nil && err.Error() != test.err) {
				t.Error(err, diff)
			}
		})
	}
}

func indices(n int) []string {
	var out []string
	for i := range n {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func TestUniqueID(t *testing.T) {
	for id, want := range map[string]bool{
		"0xEF2C1799A1F3E2ED": true, "0X1": true, "ef2c1799a": true, "123456789": true,
		"0": false, "0x": false, "12345678": false, "0xg": false, "ef2c1799": false, "GPU-123456789": false, "": false,
	} {
		if got := UniqueID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
