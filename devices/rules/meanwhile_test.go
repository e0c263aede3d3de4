package rules

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf/asm"
)

// A program that somebody else attaches while the others are extended is extended too: it would deny the devices.
func TestProgramThatIsAttachedMeanwhile(t *testing.T) {
	const programs = 40 // their extension takes long enough for another to come in between
	dirs := newCgroup(t, "unit")
	allow := asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}
	attach(t, dirs[0], load(t, allow))
	for range programs {
		attach(t, dirs[1], load(t, deny))
	}
	late := load(t, deny)
	first := attached(t, dirs[1])[0]
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			ids, err := attachedTo(dirs[1], 0)
			if err != nil || len(ids) == 0 || !slices.Contains(ids, first) {
				attach(t, dirs[1], late)
				return
			}
		}
	}()
	own := ownGroup{dir: dirs[1], unitDir: dirs[1], mountpoint: dirs[0]}
	_, err := allowV2(own, full())
	<-done
	if err != nil {
		t.Fatal(err)
	}
	ids := attached(t, dirs[1])
	if len(ids) != programs+1 {
		t.Fatalf("%d programs", len(ids))
	}
	for _, id := range ids {
		if ok, err := judge(id, full()); err != nil || !ok {
			t.Errorf("program %d denies the device, %v", id, err)
		}
	}
}
