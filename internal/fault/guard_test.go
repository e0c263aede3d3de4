package fault

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func nilPointer() error {
	var e *Error
	return errors.New(e.what)
}

func outOfRange() error {
	var list []error
	return list[len(list)]
}

// A panic is an error of one line that says where it began; anything else is passed on.
func TestGuard(t *testing.T) {
	for want, fn := range map[string]func() error{
		"panic: x (fault.TestGuard.func1, guard_test.go:":                                    func() error { panic("x") },
		"panic: EOF (fault.TestGuard.func2, guard_test.go:":                                  func() error { panic(io.EOF) },
		"panic: runtime error: invalid memory address or nil pointer dereference (fault.nil": nilPointer,
		"panic: runtime error: index out of range [0] with length 0 (fault.outOfRange, guar": outOfRange,
	} {
		err := Guard(fn)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s", err, want)
		}
		if f := From(fmt.Errorf("plan: %w", err)); !Panicked(err) || !Panicked(f) || f.Code() != Internal || f.Hint() == "" {
			t.Errorf("%v", f)
		}
	}
	carried := Guard(func() error { return Carry(nilPointer)() })
	if carried == nil || !strings.Contains(carried.Error(), "(fault.nilPointer, ") {
		t.Errorf("carried to another goroutine: %v", carried)
	}
	if n := Carry(func() int { return 7 })(); n != 7 {
		t.Error(n)
	}
	if err := Guard(func() error { return io.EOF }); !errors.Is(err, io.EOF) || Panicked(err) {
		t.Error(err)
	}
	if err := Guard(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
