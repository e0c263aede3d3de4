package rules

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// A program that somebody else attaches while the others are extended is extended too: it would deny the devices.
func TestProgramThatIsAttachedMeanwhile(t *testing.T) {
	const most = 30
	for i := range most {
		came := false
		t.Run(fmt.Sprint(i), func(t *testing.T) { came = attachMeanwhile(t) })
		if came || t.Failed() {
			return
		}
	}
	t.Errorf("in %d tries no program came in between", most)
}

// attachMeanwhile extends many programs, which takes a while, and attaches another one when the first is extended. It
// reports whether that came before the last was extended.
func attachMeanwhile(t *testing.T) (came bool) {
	t.Helper()
	const programs = 50
	dirs := newCgroup(t, "unit")
	attach(t, dirs[0], load(t, asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}))
	for range programs {
		attach(t, dirs[1], load(t, deny))
	}
	late, before := load(t, deny), attached(t, dirs[1])
	isBefore := func(id ebpf.ProgramID) bool { return slices.Contains(before, id) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(remaining(t, dirs[1], isBefore)) == programs {
			continue
		}
		attach(t, dirs[1], late)
		came = len(remaining(t, dirs[1], isBefore)) > 0
	}()
	_, err := allowV2(ownGroup{dir: dirs[1], unitDir: dirs[1], mountpoint: dirs[0]}, full())
	<-done
	if err != nil {
		t.Error(err)
	}
	for _, id := range attached(t, dirs[1]) {
		if ok, err := judge(id, full()); came && (err != nil || !ok) {
			t.Errorf("program %d denies the device, %v", id, err)
		}
	}
	return came
}

// remaining returns the programs of the cgroup for which keep holds.
func remaining(t *testing.T, dir string, keep func(ebpf.ProgramID) bool) []ebpf.ProgramID {
	t.Helper()
	return slices.DeleteFunc(attached(t, dir), func(id ebpf.ProgramID) bool { return !keep(id) })
}
