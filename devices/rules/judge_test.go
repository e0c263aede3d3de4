package rules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// assembled returns a program as the kernel shows it, with offsets instead of labels.
func assembled(t *testing.T, program ...asm.Instruction) asm.Instructions {
	t.Helper()
	out := slices.Clone(asm.Instructions(program))
	if err := out.Marshal(io.Discard, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	return out
}

// bySystemd is what bpf-devices.c of systemd makes of "char 1:11 rw" and "char 136:* rwm".
var bySystemd = asm.Instructions{
	asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), asm.And.Imm32(asm.R2, 0xFFFF),
	asm.LoadMem(asm.R3, asm.R1, 0, asm.Word), asm.RSh.Imm32(asm.R3, 16),
	asm.LoadMem(asm.R4, asm.R1, 4, asm.Word), asm.LoadMem(asm.R5, asm.R1, 8, asm.Word),
	asm.Mov.Reg32(asm.R1, asm.R3), asm.And.Imm32(asm.R1, 6), asm.JNE.Reg(asm.R1, asm.R3, "second"),
	asm.JNE.Imm(asm.R2, 2, "second"), asm.JNE.Imm(asm.R4, 1, "second"),
	asm.JNE.Imm(asm.R5, 11, "second"), asm.Ja.Label("yes"),
	asm.JNE.Imm(asm.R2, 2, "no").WithSymbol("second"), asm.JNE.Imm(asm.R4, 136, "no"), asm.Ja.Label("yes"),
	asm.Mov.Imm(asm.R0, 0).WithSymbol("no"), asm.Ja.Label("end"),
	asm.Mov.Imm(asm.R0, 1).WithSymbol("yes"),
	asm.Return().WithSymbol("end"),
}

// byRunc is what runc's devicefilter.go makes of "b 7:* r" with everything else denied.
var byRunc = asm.Instructions{
	asm.LoadMem(asm.R2, asm.R1, 0, asm.Half), asm.LoadMem(asm.R3, asm.R1, 0, asm.Word), asm.RSh.Imm32(asm.R3, 16),
	asm.LoadMem(asm.R4, asm.R1, 4, asm.Word), asm.LoadMem(asm.R5, asm.R1, 8, asm.Word),
	asm.JNE.Imm(asm.R2, 1, "rest"),
	asm.Mov.Reg32(asm.R1, asm.R3), asm.And.Imm32(asm.R1, 2), asm.JNE.Reg(asm.R1, asm.R3, "rest"),
	asm.JNE.Imm(asm.R4, 7, "rest"), asm.Mov.Imm32(asm.R0, 1), asm.Return(),
	asm.Mov.Imm32(asm.R0, 0).WithSymbol("rest"), asm.Return(),
}

func TestAdmits(t *testing.T) {
	ours := prepend([]Rule{{"c", 195, 255, "rw"}}, assembled(t, byRunc...))
	for _, test := range []struct {
		name    string
		program asm.Instructions
		rule    Rule
		want    bool
	}{
		{"systemd's, listed", bySystemd, Rule{"c", 1, 11, "rw"}, true},
		{"systemd's, in part", bySystemd, Rule{"c", 1, 11, "r"}, true},
		{"systemd's, more than listed", bySystemd, Rule{"c", 1, 11, "rwm"}, false},
		{"systemd's, another minor", bySystemd, Rule{"c", 1, 12, "r"}, false},
		{"systemd's, a block device", bySystemd, Rule{"b", 1, 11, "r"}, false},
		{"systemd's, every minor", bySystemd, Rule{"c", 136, 99, "rwm"}, true},
		{"runc's, listed", byRunc, Rule{"b", 7, 3, "r"}, true},
		{"runc's, more than listed", byRunc, Rule{"b", 7, 3, "rw"}, false},
		{"runc's, another type", byRunc, Rule{"c", 7, 3, "r"}, false},
		{"ours", ours, Rule{"c", 195, 255, "rw"}, true},
		{"ours, more", ours, Rule{"c", 195, 255, "m"}, false},
		{"ours, the old program's", ours, Rule{"b", 7, 1, "r"}, true},
		{"no access", deny, Rule{"c", 1, 1, ""}, true},
		{"the lowest bit alone counts", asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, Rule{"c", 1, 1, "r"}, false},
		{"each access by itself", asm.Instructions{ // denies reading alone
			asm.LoadMem(asm.R0, asm.R1, 0, asm.Word), asm.RSh.Imm(asm.R0, 16),
			asm.JEq.Imm(asm.R0, unix.BPF_DEVCG_ACC_READ, "no"),
			asm.Mov.Imm(asm.R0, 1), asm.Return(), asm.Mov.Imm(asm.R0, 0).WithSymbol("no"), asm.Return(),
		}, Rule{"c", 1, 1, "rw"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := admits(assembled(t, test.program...), []Rule{test.rule})
			if err != nil || got != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if got, err := admits(assembled(t, bySystemd...), []Rule{{"c", 1, 11, "rw"}, {"c", 1, 12, "r"}}); got || err != nil {
		t.Errorf("one of two: %v, %v", got, err)
	}
}

// Every instruction that the interpreter knows, in each form.
func TestRunProgram(t *testing.T) {
	for _, test := range []struct {
		program asm.Instructions
		want    uint64
	}{
		{asm.Instructions{asm.Mov.Imm(asm.R0, -1)}, 0xffffffffffffffff},
		{asm.Instructions{asm.Mov.Imm32(asm.R0, -1)}, 0xffffffff},
		{asm.Instructions{asm.Mov.Imm(asm.R0, 6), asm.Mov.Imm(asm.R2, 3), asm.And.Reg(asm.R0, asm.R2)}, 2},
		{asm.Instructions{asm.Mov.Imm(asm.R0, 6), asm.Or.Imm(asm.R0, 1)}, 7},
		{asm.Instructions{asm.Mov.Imm(asm.R0, 6), asm.Xor.Imm(asm.R0, 2)}, 4},
		{asm.Instructions{asm.Mov.Imm(asm.R0, 6), asm.Add.Imm(asm.R0, -7)}, 0xffffffffffffffff},
		{asm.Instructions{asm.Mov.Imm(asm.R0, 6), asm.Sub.Imm32(asm.R0, 7)}, 0xffffffff},
		{asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.LSh.Imm(asm.R0, 33)}, 1 << 33},
		{asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.LSh.Imm32(asm.R0, 33)}, 2},
		{asm.Instructions{asm.Mov.Imm32(asm.R0, -1), asm.RSh.Imm(asm.R0, 28)}, 15},
		{asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.LoadMem(asm.R0, asm.R6, ctxMajor, asm.Word)}, 195},
		{asm.Instructions{asm.LoadMem(asm.R0, asm.R1, ctxMinor, asm.Byte)}, 1},
	} {
		got, err := run(assembled(t, append(test.program, asm.Return())...), newMachine(Rule{"c", 195, 1, "r"}, 2))
		if err != nil || got != test.want {
			t.Errorf("%v: got %#x, %v", test.program, got, err)
		}
	}
	for _, test := range []struct {
		op   asm.JumpOp
		b    int32
		want uint64
	}{
		{asm.JEq, 5, 1},
		{asm.JEq, 4, 0},
		{asm.JNE, 4, 1},
		{asm.JNE, 5, 0},
		{asm.JGT, 4, 1},
		{asm.JGT, 5, 0},
		{asm.JGE, 5, 1},
		{asm.JGE, 6, 0},
		{asm.JLT, 6, 1},
		{asm.JLT, 5, 0},
		{asm.JLE, 5, 1},
		{asm.JLE, 4, 0},
		{asm.JSet, 4, 1},
		{asm.JSet, 2, 0},
		{asm.JLT, -1, 1},
	} {
		program := assembled(t, asm.Mov.Imm(asm.R2, 5), asm.Mov.Imm(asm.R0, 1), test.op.Imm(asm.R2, test.b, "end"),
			asm.Mov.Imm(asm.R0, 0), asm.Return().WithSymbol("end"))
		if got, err := run(program, newMachine(Rule{}, 0)); err != nil || got != test.want {
			t.Errorf("5 %v %d: got %d, %v", test.op, test.b, got, err)
		}
	}
}

// A program with any other instruction is not judged.
func TestUnjudged(t *testing.T) {
	for name, program := range map[string]asm.Instructions{
		"a helper":                {asm.FnGetPrandomU32.Call(), asm.Return()},
		"the stack":               {asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord), asm.Return()},
		"a pointer compared":      {asm.JEq.Imm(asm.R1, 0, "end"), asm.Return().WithSymbol("end")},
		"a pointer computed with": {asm.Add.Imm(asm.R1, 4), asm.Return()},
		"a pointer for a value":   {asm.Add.Reg(asm.R0, asm.R1), asm.Return()},
		"half a pointer":          {asm.Mov.Reg32(asm.R0, asm.R1), asm.Return()},
		"beyond the context":      {asm.LoadMem(asm.R0, asm.R1, 12, asm.Word), asm.Return()},
		"before the context":      {asm.LoadMem(asm.R0, asm.R1, -4, asm.Word), asm.Return()},
		"other memory":            {asm.LoadMem(asm.R0, asm.R2, 0, asm.Word), asm.Return()},
		"a comparison of signs":   {asm.JSGT.Imm(asm.R0, 0, "end"), asm.Return().WithSymbol("end")},
		"a double word":           {asm.LoadImm(asm.R0, 1, asm.DWord), asm.Return()},
		"a division":              {asm.Div.Imm(asm.R0, 3), asm.Return()},
		"a loop": {
			asm.Mov.Imm(asm.R0, 1).WithSymbol("again"), asm.JNE.Imm(asm.R0, 0, "again"), asm.Return(),
		},
		"no end":  {asm.Mov.Imm(asm.R0, 1)},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			if ok, err := admits(assembled(t, program...), []Rule{{"c", 1, 11, "rw"}}); ok || !errors.Is(err, errUnjudged) {
				t.Errorf("got %v, %v", ok, err)
			}
		})
	}
}

// Programs of cgroups above the container's unit are judged, named, and left alone.
func TestCheckAbove(t *testing.T) {
	rules := []Rule{{"c", 1, 11, "rw"}}
	for _, test := range []struct {
		name          string
		program       asm.Instructions
		err, unjudged string
	}{
		{"allows", bySystemd, "", ""},
		{"denies", byRunc, "of cgroup %s, which is not the container's own, denies [c 1:11 rw]", ""},
		{
			"may do either",
			asm.Instructions{asm.FnGetPrandomU32.Call(), asm.And.Imm(asm.R0, 1), asm.Return()},
			"",
			"of cgroup %s: its answer cannot be determined from its instructions",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dirs := newCgroup(t, "middle", "unit", "leaf")
			attach(t, dirs[0], load(t, slices.Clone(test.program)))
			attach(t, dirs[2], load(t, deny))
			before := attached(t, dirs[0])
			own := ownGroup{dir: dirs[3], unitDir: dirs[2], mountpoint: "/"}
			if _, err := allowV2(own, rules); err != nil {
				t.Fatal(err)
			}
			unjudged, err := checkAbove(own, rules)
			for _, got := range []struct {
				err  error
				want string
			}{{err, test.err}, {unjudged, test.unjudged}} {
				want := strings.ReplaceAll(got.want, "%s", dirs[0])
				if (got.err == nil) != (want == "") || !strings.Contains(fmt.Sprint(got.err), want) && want != "" {
					t.Errorf("got %v, want %q", got.err, want)
				}
			}
			if after := attached(t, dirs[0]); !slices.Equal(before, after) {
				t.Errorf("programs above were %v and are %v", before, after)
			}
		})
	}
}
