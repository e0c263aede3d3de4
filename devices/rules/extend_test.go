package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
)

var deny = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}

// Each rule is a block that allows or jumps to the next block, the last one to the old program.
func TestPrepend(t *testing.T) {
	got := prepend([]Rule{{"c", 195, 254, "rw"}, {"b", 7, 1, "m"}}, deny)
	const want = `	LdXMemW dst: r2 src: r1 off: 0 imm: 0
	MovReg32 dst: r3 src: r2
	AndImm32 dst: r2 imm: 65535
	RShImm32 dst: r3 imm: 16
	LdXMemW dst: r4 src: r1 off: 4 imm: 0
	LdXMemW dst: r5 src: r1 off: 8 imm: 0
	JNEImm dst: r2 off: -1 imm: 2 <gpu-hook-1>
	MovReg32 dst: r0 src: r3
	AndImm32 dst: r0 imm: -7
	JNEImm dst: r0 off: -1 imm: 0 <gpu-hook-1>
	JNEImm dst: r4 off: -1 imm: 195 <gpu-hook-1>
	JNEImm dst: r5 off: -1 imm: 254 <gpu-hook-1>
	MovImm32 dst: r0 imm: 1
	Exit
gpu-hook-1:
	JNEImm dst: r2 off: -1 imm: 1 <gpu-hook-2>
	MovReg32 dst: r0 src: r3
	AndImm32 dst: r0 imm: -2
	JNEImm dst: r0 off: -1 imm: 0 <gpu-hook-2>
	JNEImm dst: r4 off: -1 imm: 7 <gpu-hook-2>
	JNEImm dst: r5 off: -1 imm: 1 <gpu-hook-2>
	MovImm32 dst: r0 imm: 1
	Exit
gpu-hook-2:
	MovImm dst: r0 imm: 0
	Exit
`
	if diff := cmp.Diff(want, withoutOffsets(got)); diff != "" {
		t.Error(diff)
	}
	if deny[0].Symbol() != "" {
		t.Error("the old instructions were changed")
	}
}

// withoutOffsets returns the text of the program without the numbers of its instructions.
func withoutOffsets(program asm.Instructions) string {
	var out strings.Builder
	for line := range strings.Lines(fmt.Sprintf("%v", program)) {
		if before, after, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(before, "\t") {
			line = "\t" + after
		}
		out.WriteString(line)
	}
	return out.String()
}
