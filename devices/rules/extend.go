package rules

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// The offsets of the fields of struct bpf_cgroup_dev_ctx, from linux/bpf.h.
const (
	ctxAccessType = 0 // access << 16 | type
	ctxMajor      = 4
	ctxMinor      = 8
)

// extend loads a program that allows the rules' devices and otherwise answers as the old program does. If the old
// program allows them already, needed is false and nothing is loaded. The caller closes the program.
func extend(old *ebpf.Program, rules []Rule) (extended *ebpf.Program, needed bool, err error) {
	instructions, err := instructionsOf(old)
	if err != nil {
		return nil, false, err
	}
	// A program that cannot be judged is extended: then it certainly allows them.
	if ok, err := admits(instructions, rules); ok && err == nil {
		return nil, false, nil
	}
	extended, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0",
		Instructions: prepend(rules, instructions),
	})
	if err != nil {
		return nil, false, fmt.Errorf("load the extended program: %w", err)
	}
	return extended, true, nil
}

// instructionsOf reads a program back from the kernel.
func instructionsOf(program *ebpf.Program) (asm.Instructions, error) {
	info, err := program.Info()
	if err != nil {
		return nil, err
	}
	instructions, err := info.Instructions()
	if err != nil {
		return nil, fmt.Errorf("read its instructions: %w", err)
	}
	if len(instructions) == 0 {
		return nil, errors.New("the kernel does not show its instructions (net.core.bpf_jit_harden, lockdown)")
	}
	return instructions, nil
}

func programID(program *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := program.Info()
	if err != nil {
		return 0, err
	}
	id, _ := info.ID()
	return id, nil
}

// prepend returns a program that allows what the rules do and otherwise runs old. Only R1, the context, has a value
// when old begins, so every register but R1 may be used before it.
func prepend(rules []Rule, old asm.Instructions) asm.Instructions {
	program := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, ctxAccessType, asm.Word),
		asm.Mov.Reg32(asm.R3, asm.R2),
		asm.And.Imm32(asm.R2, 0xFFFF),
		asm.RSh.Imm32(asm.R3, 16),
		asm.LoadMem(asm.R4, asm.R1, ctxMajor, asm.Word),
		asm.LoadMem(asm.R5, asm.R1, ctxMinor, asm.Word),
	}
	for i, r := range rules {
		block := allowBlock(r, label(i+1))
		if i > 0 {
			block[0] = block[0].WithSymbol(label(i))
		}
		program = append(program, block...)
	}
	rest := withoutMetadata(old)
	rest[0] = rest[0].WithSymbol(label(len(rules)))
	return append(program, rest...)
}

// label names the block of the rule with this index, or the old program, which comes after the last one.
func label(index int) string { return fmt.Sprintf("gpu-hook-%d", index) }

// allowBlock returns instructions that allow what the rule does and otherwise jump to next. They expect the type in R2,
// the access in R3, the major in R4 and the minor in R5.
func allowBlock(r Rule, next string) asm.Instructions {
	return asm.Instructions{
		asm.JNE.Imm(asm.R2, deviceType(r), next),
		asm.Mov.Reg32(asm.R0, asm.R3),
		asm.And.Imm32(asm.R0, ^access(r)),
		asm.JNE.Imm(asm.R0, 0, next),
		asm.JNE.Imm(asm.R4, int32(r.major), next), //nolint:gosec // majors have 12 bits
		asm.JNE.Imm(asm.R5, int32(r.minor), next), //nolint:gosec // minors have 20 bits
		asm.Mov.Imm32(asm.R0, 1),
		asm.Return(),
	}
}

// withoutMetadata returns the instructions without the symbols and source lines that a program with BTF carries: they
// are those of the old offsets, and the kernel would refuse them.
func withoutMetadata(old asm.Instructions) asm.Instructions {
	out := make(asm.Instructions, 0, len(old))
	for _, i := range old {
		out = append(out, asm.Instruction{
			OpCode: i.OpCode, Dst: i.Dst, Src: i.Src, Offset: i.Offset, Constant: i.Constant,
		})
	}
	return out
}

// deviceType returns the rule's type as the kernel numbers it.
func deviceType(r Rule) int32 {
	if r.kind == "b" {
		return unix.BPF_DEVCG_DEV_BLOCK
	}
	return unix.BPF_DEVCG_DEV_CHAR
}

// access returns the rule's permissions as the kernel's bits.
func access(r Rule) int32 {
	var mask int32
	for _, p := range r.permissions {
		switch p {
		case 'r':
			mask |= unix.BPF_DEVCG_ACC_READ
		case 'w':
			mask |= unix.BPF_DEVCG_ACC_WRITE
		case 'm':
			mask |= unix.BPF_DEVCG_ACC_MKNOD
		}
	}
	return mask
}
