package rules

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// The layout of struct bpf_cgroup_dev_ctx and its constants, from linux/bpf.h.
const (
	ctxAccessType = 0 // access << 16 | type
	ctxMajor      = 4
	ctxMinor      = 8
)

// rounds is how often programs that others attach meanwhile are gone after; systemd attaches at most one.
const rounds = 5

// exchanges remembers which programs were put in the place of which.
type exchanges map[ebpf.ProgramID]ebpf.ProgramID

// allowV2 lets every device program of the container's own unit allow the rules' devices, from the cgroup where its
// process is up to that of the unit: the kernel asks all of them, and each must say yes. One that says so already stays
// as it is, so that who attached it still knows it; any other is extended. A cgroup without a program has nothing to
// extend and gets none, since a program can only take away. What is then attached is read back.
func allowV2(own ownGroup, rules []Rule) (exchanges, error) {
	done := exchanges{}
	for _, dir := range own.dirs() {
		if err := extendAll(dir, rules, done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// extendAll goes over the programs of one cgroup until all that are attached, as the kernel shows them, allow the rules.
// systemd may attach one of its own at any time.
func extendAll(dir string, rules []Rule, done exchanges) error {
	cgroup, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer cgroup.Close()
	for range rounds {
		attached, err := query(cgroup, 0)
		if err != nil {
			return err
		}
		changed := false
		for _, id := range attached {
			extended, err := extendOne(cgroup, id, rules)
			if errors.Is(err, os.ErrNotExist) {
				changed = true // somebody else has detached it
				continue
			}
			if err != nil {
				return fmt.Errorf("extend device program %d: %w", id, err)
			}
			if extended != id {
				done[id], changed = extended, true
			}
		}
		if !changed {
			return nil
		}
	}
	return errors.New("something else keeps changing the programs of this cgroup")
}

// query returns the programs that are attached to the cgroup or, with BPF_F_QUERY_EFFECTIVE, those that the kernel asks
// for a process in it, the ones of its ancestors among them.
func query(cgroup *os.File, flags uint32) ([]ebpf.ProgramID, error) {
	result, err := link.QueryPrograms(link.QueryOptions{Target: int(cgroup.Fd()), Attach: ebpf.AttachCGroupDevice, QueryFlags: flags})
	if err != nil {
		return nil, fmt.Errorf("query device programs: %w", err)
	}
	var ids []ebpf.ProgramID
	for _, p := range result.Programs {
		ids = append(ids, p.ID)
	}
	return ids, nil
}

// extendOne puts a program that allows the rules' devices and asks the old program about all others in the old one's
// place, and returns its id, or the old one's if that allows them already. The exchange is one step of the kernel's:
// there is no moment without a filter, and on error the old one stays.
func extendOne(cgroup *os.File, id ebpf.ProgramID, rules []Rule) (ebpf.ProgramID, error) {
	old, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return 0, err
	}
	defer old.Close()
	extended, err := extend(old, rules)
	if err != nil || extended == nil {
		return id, err
	}
	defer extended.Close()
	err = link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(cgroup.Fd()), Program: extended, Attach: ebpf.AttachCGroupDevice,
		Flags: unix.BPF_F_ALLOW_MULTI, Anchor: link.ReplaceProgram(old),
	})
	if err != nil {
		return 0, fmt.Errorf("attach the extended program: %w", err)
	}
	return programID(extended)
}

// extend loads a program that allows the rules' devices and asks the old program about all others. Where the old one
// allows them already it is nil.
func extend(old *ebpf.Program, rules []Rule) (*ebpf.Program, error) {
	instructions, err := instructionsOf(old)
	if err != nil {
		return nil, err
	}
	if ok, err := admits(instructions, rules); ok && err == nil {
		return nil, nil
	}
	extended, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0",
		Instructions: prepend(rules, instructions),
	})
	if err != nil {
		return nil, fmt.Errorf("load the extended program: %w", err)
	}
	return extended, nil
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

// prepend returns a program that answers yes to the rules and otherwise runs old. At the start of a program only R1, the
// context, has a value, and it is left alone.
func prepend(rules []Rule, old asm.Instructions) asm.Instructions {
	const next = "gpu-hook-%d"
	program := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, ctxAccessType, asm.Word),
		asm.Mov.Reg32(asm.R3, asm.R2),
		asm.And.Imm32(asm.R2, 0xFFFF),
		asm.RSh.Imm32(asm.R3, 16),
		asm.LoadMem(asm.R4, asm.R1, ctxMajor, asm.Word),
		asm.LoadMem(asm.R5, asm.R1, ctxMinor, asm.Word),
	}
	for i, r := range rules {
		after := fmt.Sprintf(next, i+1)
		block := asm.Instructions{
			asm.JNE.Imm(asm.R2, deviceType(r), after),
			asm.Mov.Reg32(asm.R0, asm.R3),
			asm.And.Imm32(asm.R0, ^access(r)),
			asm.JNE.Imm(asm.R0, 0, after),
			asm.JNE.Imm(asm.R4, int32(r.major), after), //nolint:gosec // majors have 12 bits
			asm.JNE.Imm(asm.R5, int32(r.minor), after), //nolint:gosec // minors have 20 bits
			asm.Mov.Imm32(asm.R0, 1),
			asm.Return(),
		}
		if i > 0 {
			block[0] = block[0].WithSymbol(fmt.Sprintf(next, i))
		}
		program = append(program, block...)
	}
	rest := bare(old)
	rest[0] = rest[0].WithSymbol(fmt.Sprintf(next, len(rules)))
	return append(program, rest...)
}

// bare returns the instructions without the names and lines that a program with BTF brings along: they are of places that
// are no longer where they were, and the kernel would refuse them.
func bare(old asm.Instructions) asm.Instructions {
	out := make(asm.Instructions, 0, len(old))
	for _, i := range old {
		out = append(out, asm.Instruction{OpCode: i.OpCode, Dst: i.Dst, Src: i.Src, Offset: i.Offset, Constant: i.Constant})
	}
	return out
}

func deviceType(r Rule) int32 {
	if r.kind == "b" {
		return unix.BPF_DEVCG_DEV_BLOCK
	}
	return unix.BPF_DEVCG_DEV_CHAR
}

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
