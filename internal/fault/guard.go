package fault

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// PanicError is a panic that [Guard] has caught.
type PanicError struct {
	value any
	place string // the function and line in which it began, or ""
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v%s", e.value, e.place) }

// Guard runs fn. If fn panics, Guard returns a [PanicError]: a defect is told like any other failure, and what was done
// until then can be undone. A panic on another goroutine ends the process all the same, so that each goroutine needs a
// Guard of its own.
func Guard(fn func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *PanicError: // which Carry has brought here
			err = r
		default:
			err = &PanicError{r, panicPlace()}
		}
	}()
	return fn()
}

// Carry runs fn and returns a function that returns its result or, if fn panicked, panics too, with the [PanicError].
// It carries a panic to the goroutine that asks for the result.
func Carry[T any](fn func() T) (result func() T) {
	var value T
	err := Guard(func() error {
		value = fn()
		return nil
	})
	return func() T {
		if err != nil {
			panic(err)
		}
		return value
	}
}

// Panicked reports whether err comes of a panic.
func Panicked(err error) bool {
	var p *PanicError
	return errors.As(err, &p)
}

// panicPlace returns where the panic began that the calling deferred function has recovered from, as
// " (devices.parseSpec, spec.go:123)".
func panicPlace() string {
	const deepest = 32
	pcs := make([]uintptr, deepest)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	inPanic := false
	for frame, more := frames.Next(); ; frame, more = frames.Next() {
		isRuntime := strings.HasPrefix(frame.Function, "runtime.")
		switch {
		case frame.Function == "runtime.gopanic":
			inPanic = true
		case inPanic && !isRuntime:
			return fmt.Sprintf(" (%s, %s:%d)", filepath.Base(frame.Function), filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}
