package rules

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// FuzzCgroups: the path of a controller is the one that the kernel wrote, whatever is in it.
func FuzzCgroups(f *testing.F) {
	f.Add("12:pids:/a\n", "devices", "/kubepods/pod:1/x")
	f.Add("", "", "/")
	f.Add("0::/..", "cpu,cpuacct", "/a b::c")
	f.Fuzz(func(t *testing.T, before, controllers, group string) {
		if strings.ContainsAny(controllers, ":\n\r") || strings.ContainsAny(group, "\n\r") || len(before+group) > 4096 {
			return
		}
		got, err := parseCgroups(strings.NewReader(before + "\n7:" + controllers + ":" + group + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		for controller := range strings.SplitSeq(controllers, ",") {
			if got[controller] != group {
				t.Errorf("%q is in %q, want %q", controller, got[controller], group)
			}
		}
		for root := range strings.SplitSeq(before, "\n") {
			dir, err := hierarchy{"/sys/fs/cgroup", root}.dir(group)
			if err == nil && dir != "/sys/fs/cgroup" && !strings.HasPrefix(dir, "/sys/fs/cgroup/") {
				t.Errorf("cgroup %q of %q is in %q", group, root, dir)
			}
		}
	})
}

// emulator runs the instructions of a device program from their bytes, as Documentation/bpf/instruction-set of the
// kernel describes them. It shares nothing with the interpreter of this package.
type emulator struct {
	code    []byte
	context [12]byte
	r       [11]uint64
}

var errEmulator = errors.New("the emulator does not know it")

func (e *emulator) run() (uint64, error) {
	for pc, steps := 0, 0; steps < len(e.code)/8; steps++ {
		if pc < 0 || pc*8+8 > len(e.code) {
			return 0, errEmulator
		}
		ins := e.code[pc*8 : pc*8+8]
		op, dst, src := ins[0], ins[1]&15, ins[1]>>4
		offset := int(int16(binary.LittleEndian.Uint16(ins[2:])))
		imm := uint64(int64(int32(binary.LittleEndian.Uint32(ins[4:]))))
		if dst > 9 || src > 9 {
			return 0, errEmulator
		}
		operand := imm
		if op&8 != 0 {
			operand = e.r[src]
		}
		pc++
		switch op & 7 {
		case 1: // a load from the context, with its register as the address
			size := map[byte]int{0x61: 4, 0x69: 2, 0x71: 1}[op]
			if size == 0 || offset < 0 || offset+size > len(e.context) {
				return 0, errEmulator
			}
			var v [8]byte
			copy(v[:], e.context[offset:offset+size])
			e.r[dst] = binary.LittleEndian.Uint64(v[:])
		case 4, 7:
			if err := e.compute(op, dst, operand); err != nil {
				return 0, err
			}
		case 5, 6:
			if op == 0x95 {
				return e.r[0], nil
			}
			taken, err := e.jumps(op, dst, operand)
			if err != nil {
				return 0, err
			}
			if taken {
				pc += offset
			}
		default:
			return 0, errEmulator
		}
	}
	return 0, errEmulator
}

func (e *emulator) compute(op, dst byte, b uint64) error {
	a, bits := e.r[dst], uint64(64)
	if op&7 == 4 {
		a, b, bits = uint64(uint32(a)), uint64(uint32(b)), 32
	}
	switch op >> 4 {
	case 0x0:
		a += b
	case 0x1:
		a -= b
	case 0x4:
		a |= b
	case 0x5:
		a &= b
	case 0x6:
		a <<= b & (bits - 1)
	case 0x7:
		a >>= b & (bits - 1)
	case 0xa:
		a ^= b
	case 0xb:
		a = b
	default:
		return errEmulator
	}
	if bits == 32 {
		a = uint64(uint32(a))
	}
	e.r[dst] = a
	return nil
}

func (e *emulator) jumps(op, dst byte, b uint64) (bool, error) {
	a := e.r[dst]
	if op&7 == 6 {
		a, b = uint64(uint32(a)), uint64(uint32(b))
	}
	switch op >> 4 {
	case 0x0:
		return true, nil
	case 0x1:
		return a == b, nil
	case 0x2:
		return a > b, nil
	case 0x3:
		return a >= b, nil
	case 0x4:
		return a&b != 0, nil
	case 0x5:
		return a != b, nil
	case 0xa:
		return a < b, nil
	case 0xb:
		return a <= b, nil
	}
	return false, errEmulator
}

// answer is what the program answers to an access, by the emulator. It fails if the interpreter says otherwise.
func answer(t *testing.T, program asm.Instructions, r Rule, asked uint32) (uint64, error) {
	t.Helper()
	var code bytes.Buffer
	if err := program.Marshal(&code, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	m := newMachine(r, asked)
	e := &emulator{code: code.Bytes(), context: m.context}
	want, err := e.run()
	got, gotErr := run(program, m)
	if gotErr == nil && (err != nil || got != want) {
		t.Fatalf("%v: interpreted %#x, emulated %#x, %v", program, got, want, err)
	}
	return want, errors.Join(err, gotErr)
}

// made makes a program of the bytes: loads from the context, computations and jumps forward.
func made(data []byte) asm.Instructions {
	ops := []asm.ALUOp{asm.Mov, asm.And, asm.Or, asm.Xor, asm.Add, asm.Sub, asm.LSh, asm.RSh}
	jumps := []asm.JumpOp{asm.JEq, asm.JNE, asm.JGT, asm.JGE, asm.JLT, asm.JLE, asm.JSet, asm.Ja}
	sizes := []asm.Size{asm.Word, asm.Half, asm.Byte}
	n := len(data) / 4
	// Only a register that has a value may be read.
	out := asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Mov.Imm(asm.R2, 1), asm.Mov.Imm(asm.R3, 2)}
	for i := range n {
		a, b, c, d := data[i*4], data[i*4+1], data[i*4+2], data[i*4+3]
		registers := []asm.Register{asm.R0, asm.R2, asm.R3}
		dst, src := registers[int(b)%3], registers[int(b/3)%3]
		imm := int32(int8(c))<<(d%25) | int32(d)
		switch a % 8 {
		case 0:
			size := sizes[int(d)%3]
			out = append(out, asm.LoadMem(dst, asm.R1, int16(int(c)%(13-size.Sizeof())), size))
		case 1:
			out = append(out, ops[c%8].Reg(dst, src))
		case 2:
			out = append(out, ops[c%8].Reg32(dst, src))
		case 3:
			out = append(out, ops[d%8].Imm(dst, imm))
		case 4:
			out = append(out, ops[d%8].Imm32(dst, imm))
		default:
			ins := jumps[d%8].Imm(dst, imm, "")
			switch {
			case jumps[d%8] == asm.Ja:
				ins = asm.Instruction{OpCode: asm.Ja.Op(asm.ImmSource), Constant: -1}
			case a%8 == 6:
				ins = jumps[d%8].Imm32(dst, imm, "")
			case a%8 == 7:
				ins = jumps[d%8].Reg(dst, src, "")
			}
			ins.Offset, ins.Constant = int16(int(c)%(n-i)), int64(imm)
			if jumps[d%8] == asm.Ja {
				ins.Constant = 0
			}
			out = append(out, ins)
		}
	}
	return append(out, asm.Return())
}

// FuzzExtend: an extended program allows what the rules do, and to every other access answers as the old one does. What
// admits says of a program is what the program answers.
func FuzzExtend(f *testing.F) {
	f.Add([]byte{}, byte(0), uint16(195), uint32(255), byte(7), uint16(195), uint32(255))
	f.Add([]byte{0, 0, 4, 0, 5, 0, 1, 1, 3, 0, 0, 0}, byte(1), uint16(1), uint32(11), byte(3), uint16(1), uint32(12))
	f.Add([]byte{0, 3, 0, 0, 4, 0, 255, 1, 7, 3, 2, 6}, byte(3), uint16(4095), uint32(1<<20-1), byte(2), uint16(0),
		uint32(0))
	f.Fuzz(func(
		t *testing.T, data []byte, kinds byte, major uint16, minor uint32, bits byte, major2 uint16, minor2 uint32,
	) {
		if len(data) > 400 {
			return
		}
		kind := func(b byte) string { return string("cb"[b&1]) }
		permissions := ""
		for i, p := range "rwm" {
			if bits>>i&1 != 0 {
				permissions += string(p)
			}
		}
		first := Rule{kind(kinds), int64(major % 4096), int64(minor % (1 << 20)), permissions}
		second := Rule{kind(kinds >> 1), int64(major2 % 4096), int64(minor2 % (1 << 20)), "r"}
		old := assembled(t, made(data)...)
		rules := []Rule{first, second}[:1+int(kinds>>2&1)]
		extended := assembled(t, prepend(rules, old)...)
		for _, r := range []Rule{
			first, second, {second.kind, first.major, second.minor, ""}, {first.kind, second.major, first.minor, ""},
		} {
			for asked := range uint32(unix.BPF_DEVCG_ACC_MKNOD | unix.BPF_DEVCG_ACC_READ | unix.BPF_DEVCG_ACC_WRITE + 1) {
				want, err := answer(t, old, r, asked)
				for _, rule := range rules {
					same := rule.kind == r.kind && rule.major == r.major && rule.minor == r.minor
					if same && asked&^uint32(access(rule)) == 0 {
						want, err = 1, nil
					}
				}
				got, gotErr := answer(t, extended, r, asked)
				if err == nil && gotErr == nil && got != want || (err == nil) != (gotErr == nil) {
					t.Fatalf("%v, access %d: %#x, %v, and the old one %#x, %v\n%v", r, asked, got, gotErr, want, err, extended)
				}
			}
		}
		if ok, err := admits(extended, rules); !ok && (err == nil || errors.Is(err, errUnjudged)) {
			t.Errorf("the extended program does not allow %v: %v", rules, err)
		}
		checkAdmits(t, old, first)
	})
}

func checkAdmits(t *testing.T, program asm.Instructions, r Rule) {
	t.Helper()
	want := true
	for asked := uint32(1); asked < 8; asked++ {
		if asked&^uint32(access(r)) != 0 {
			continue
		}
		v, err := answer(t, program, r, asked)
		if err != nil {
			return
		}
		want = want && v&1 == 1
	}
	if ok, err := admits(program, []Rule{r}); err != nil || ok != want {
		t.Error(fmt.Sprint("admits ", r, ": ", ok, " ", err))
	}
}
