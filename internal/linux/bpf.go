package linux

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// programInfo is the beginning of struct bpf_prog_info, from linux/bpf.h.
type programInfo struct {
	kind, id                             uint32
	tag                                  [8]byte
	jitedLength, instructionsLength      uint32
	jitedInstructions, instructionsStart uint64
}

// BPFProgramInfo returns the id and the instructions of the program of this descriptor. There are none if the kernel
// does not show them: to a process without the capability, or where it hardens programs.
func BPFProgramInfo(program int) (id uint32, instructions []byte, err error) {
	var info programInfo
	if err := bpfInfo(program, &info); err != nil || info.instructionsLength == 0 {
		return info.id, nil, err
	}
	instructions = make([]byte, info.instructionsLength)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&instructions[0])
	id = info.id
	info = programInfo{
		instructionsLength: info.instructionsLength,
		instructionsStart:  uint64(uintptr(unsafe.Pointer(&instructions[0]))),
	}
	if err := bpfInfo(program, &info); err != nil || info.instructionsStart == 0 {
		return id, nil, err
	}
	return id, instructions, nil
}

func bpfInfo(program int, info *programInfo) error {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(info)
	attr := struct {
		program, length uint32
		info            uint64
	}{uint32(program), uint32(unsafe.Sizeof(*info)), uint64(uintptr(unsafe.Pointer(info)))}
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// LoadBPFProgram loads a program without a name and returns its descriptor, which is not inherited. The types are
// BPF_PROG_TYPE_* and BPF_CGROUP_*. The verifier's reasons are not in the error.
func LoadBPFProgram(kind, attachment int, license string, instructions []byte) (program int, err error) {
	terminated := append([]byte(license), 0)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&instructions[0])
	pinner.Pin(&terminated[0])
	attr := struct {
		kind, count           uint32
		instructions, license uint64
		logLevel, logSize     uint32
		log                   uint64
		kernel, flags         uint32
		name                  [16]byte
		device, attachment    uint32
	}{
		kind: uint32(kind), count: uint32(len(instructions) / bpfInstructionSize), attachment: uint32(attachment),
		instructions: uint64(uintptr(unsafe.Pointer(&instructions[0]))),
		license:      uint64(uintptr(unsafe.Pointer(&terminated[0]))),
	}
	return bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// bpfInstructionSize is that of struct bpf_insn.
const bpfInstructionSize = 8

// bpf makes the call, see bpf(2).
func bpf(command uintptr, attr unsafe.Pointer, size uintptr) (result int, err error) {
	err = call("bpf", func() error {
		r, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
		if errno != 0 {
			return errno
		}
		result = int(r)
		return nil
	})
	return result, err
}
