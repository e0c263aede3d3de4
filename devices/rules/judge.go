package rules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// errUnjudged says that a device program does more than read its context, compute and jump, so that only the kernel can
// run it.
var errUnjudged = errors.New("its answer cannot be determined from its instructions")

// admits reports whether the device program allows all accesses of each rule, one by one and together. It interprets
// the program: those of runc, crun and systemd read their context, compare and jump, and do nothing else. One that does
// more is errUnjudged. The instructions must be as the kernel shows them, with offsets for jumps.
func admits(program asm.Instructions, rules []Rule) (bool, error) {
	for _, r := range rules {
		if ok, err := admitsRule(program, r); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// admitsRule is [admits] for one rule: the program is run for every combination of the rule's permissions.
func admitsRule(program asm.Instructions, r Rule) (bool, error) {
	const every = unix.BPF_DEVCG_ACC_MKNOD | unix.BPF_DEVCG_ACC_READ | unix.BPF_DEVCG_ACC_WRITE
	for asked := uint32(1); asked <= every; asked++ {
		if asked&^uint32(access(r)) != 0 { //nolint:gosec // three bits
			continue
		}
		answer, err := run(program, newMachine(r, asked))
		if err != nil {
			return false, err
		}
		// The kernel looks at the lowest bit alone.
		if answer&1 == 0 {
			return false, nil
		}
	}
	return true, nil
}

// machine is the state of a program while it is interpreted.
type machine struct {
	context [12]byte   // the kernel's struct bpf_cgroup_dev_ctx
	value   [11]uint64 // of each register that is not a pointer
	pointer [11]bool   // whether the register points to the context
}

// newMachine returns the state at the start of a program that is asked about this access to the rule's device.
func newMachine(r Rule, asked uint32) *machine {
	m := &machine{}
	m.pointer[asm.R1] = true
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(m.context[at:], v) }
	put(ctxAccessType, asked<<16|uint32(deviceType(r))) //nolint:gosec // 1 or 2
	put(ctxMajor, uint32(r.major))                      //nolint:gosec // majors have 12 bits
	put(ctxMinor, uint32(r.minor))                      //nolint:gosec // minors have 20 bits
	return m
}

// run interprets the program and returns its answer. It takes at most as many steps as there are instructions: the
// programs that can be judged have no loops.
func run(program asm.Instructions, m *machine) (uint64, error) {
	byOffset := map[asm.RawInstructionOffset]*asm.Instruction{}
	for i := program.Iterate(); i.Next(); {
		byOffset[i.Offset] = i.Ins
	}
	next := asm.RawInstructionOffset(0)
	for range program {
		ins := byOffset[next]
		if ins == nil {
			return 0, fmt.Errorf("%w: a jump to where no instruction begins", errUnjudged)
		}
		if ins.OpCode == asm.Return().OpCode {
			return m.value[asm.R0], nil
		}
		jump, ok := m.step(ins)
		if !ok {
			return 0, fmt.Errorf("%w: %v", errUnjudged, strings.TrimSpace(fmt.Sprint(ins)))
		}
		next += asm.RawInstructionOffset(ins.Size() / asm.InstructionSize)
		next += asm.RawInstructionOffset(jump) //nolint:gosec // a backward jump wraps around, as intended
	}
	return 0, fmt.Errorf("%w: it does not end", errUnjudged)
}

// step interprets one instruction and returns how many it jumps over, or false if the interpreter does not know it.
func (m *machine) step(ins *asm.Instruction) (jump int64, ok bool) {
	if ins.Dst > asm.R9 || ins.Src > asm.R9 {
		return 0, false
	}
	switch class := ins.OpCode.Class(); {
	case class == asm.LdXClass:
		return 0, m.load(ins)
	case class.IsALU():
		return 0, m.compute(ins)
	case class.IsJump():
		return m.jump(ins)
	}
	return 0, false
}

// load interprets an instruction that reads the context into a register.
func (m *machine) load(ins *asm.Instruction) bool {
	at, size := int(ins.Offset), ins.OpCode.Size().Sizeof()
	if ins.OpCode.Mode() != asm.MemMode || !m.pointer[ins.Src] || at < 0 || at+size > len(m.context) {
		return false
	}
	var v uint64
	switch from := m.context[at:]; size {
	case 1:
		v = uint64(from[0])
	case 2:
		v = uint64(binary.NativeEndian.Uint16(from))
	case 4:
		v = uint64(binary.NativeEndian.Uint32(from))
	default:
		return false
	}
	m.value[ins.Dst], m.pointer[ins.Dst] = v, false
	return true
}

// operand returns the second value of a computation or comparison, and false if it is a pointer.
func (m *machine) operand(ins *asm.Instruction) (uint64, bool) {
	if ins.OpCode.Source() == asm.ImmSource {
		return uint64(ins.Constant), true //nolint:gosec // the kernel extends its sign as well
	}
	return m.value[ins.Src], !m.pointer[ins.Src]
}

// compute interprets an arithmetic instruction. A pointer can only be copied as a whole, or overwritten.
func (m *machine) compute(ins *asm.Instruction) bool {
	op, long := ins.OpCode.ALUOp(), ins.OpCode.Class() == asm.ALU64Class
	if op == asm.Mov && long && ins.OpCode.Source() == asm.RegSource && ins.Offset == 0 {
		m.value[ins.Dst], m.pointer[ins.Dst] = m.value[ins.Src], m.pointer[ins.Src]
		return true
	}
	b, ok := m.operand(ins)
	if !ok || ins.Offset != 0 || (m.pointer[ins.Dst] && op != asm.Mov) {
		return false
	}
	width := uint64(64)
	if !long {
		width = 32
	}
	v, ok := combine(op, narrow(m.value[ins.Dst], long), narrow(b, long), width)
	m.value[ins.Dst], m.pointer[ins.Dst] = narrow(v, long), false
	return ok
}

// combine applies the operation to two values of width bits, and reports whether it knows the operation.
func combine(op asm.ALUOp, a, b, width uint64) (v uint64, ok bool) {
	switch op {
	case asm.Mov:
		return b, true
	case asm.And:
		return a & b, true
	case asm.Or:
		return a | b, true
	case asm.Xor:
		return a ^ b, true
	case asm.Add:
		return a + b, true
	case asm.Sub:
		return a - b, true
	case asm.LSh:
		return a << (b % width), true
	case asm.RSh:
		return a >> (b % width), true
	default:
		return 0, false
	}
}

// jump interprets a jump and returns how many instructions it jumps over, 0 if it is not taken.
func (m *machine) jump(ins *asm.Instruction) (int64, bool) {
	long := ins.OpCode.Class() == asm.JumpClass
	op := ins.OpCode.JumpOp()
	if op == asm.Ja {
		return int64(ins.Offset), long
	}
	b, ok := m.operand(ins)
	if !ok || m.pointer[ins.Dst] {
		return 0, false
	}
	taken, ok := compare(op, narrow(m.value[ins.Dst], long), narrow(b, long))
	if !taken {
		return 0, ok
	}
	return int64(ins.Offset), ok
}

// compare reports whether the jump's condition is true of two values, and whether it knows the condition.
func compare(op asm.JumpOp, a, b uint64) (taken, ok bool) {
	switch op {
	case asm.JEq:
		return a == b, true
	case asm.JNE:
		return a != b, true
	case asm.JGT:
		return a > b, true
	case asm.JGE:
		return a >= b, true
	case asm.JLT:
		return a < b, true
	case asm.JLE:
		return a <= b, true
	case asm.JSet:
		return a&b != 0, true
	default:
		return false, false
	}
}

// narrow cuts a value to 32 bits, unless the instruction is a long one, which has 64.
func narrow(v uint64, long bool) uint64 {
	if long {
		return v
	}
	return v & math.MaxUint32
}
