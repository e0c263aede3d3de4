// Package fault is the shape of every error that an operator gets to read: a stable code, the object, the cause and a
// hint. It decides nothing and prints nothing.
package fault

import (
	"errors"
	"fmt"
)

// Code is the stable name of a kind of error or warning. Scripts may rely on it; its text never changes.
type Code string

// Errors. [Table] says of each what it means, and of which kind it is.
const (
	Request  Code = "E-REQUEST"
	Policy   Code = "E-POLICY"
	Conflict Code = "E-CONFLICT"
	Require  Code = "E-REQUIRE"
	LateEdit Code = "E-LATE"
	NoSpec   Code = "E-NOSPEC"
	Name     Code = "E-NAME"
	Parse    Code = "E-PARSE"
	Trust    Code = "E-TRUST"
	Node     Code = "E-NODE"
	Mount    Code = "E-MOUNT"
	Stale    Code = "E-STALE"
	Major    Code = "E-MAJOR"
	Cgroup   Code = "E-CGROUP"
	Hook     Code = "E-HOOK"
	NetDev   Code = "E-NETDEV"
	Kernel   Code = "E-KERNEL"
	Delegate Code = "E-DELEGATE"
	State    Code = "E-STATE"
	Bundle   Code = "E-BUNDLE"
	Config   Code = "E-CONFIG"
	Record   Code = "E-RECORD"
	Install  Code = "E-INSTALL"
	Timeout  Code = "E-TIMEOUT"
	Ended    Code = "E-ENDED"
	Internal Code = "E-INTERNAL"
)

// Warnings.
const (
	Overridden  Code = "W-OVERRIDDEN"
	Fallback    Code = "W-FALLBACK"
	Late        Code = "W-LATE"
	Duplicate   Code = "W-DUP"
	Weak        Code = "W-WEAK"
	Refused     Code = "W-REFUSED"
	CgroupNote  Code = "W-CGROUP"
	OtherHook   Code = "W-HOOK"
	RequireNote Code = "W-REQUIRE"
	ConfigNote  Code = "W-CONFIG"
	SpecNote    Code = "W-SPEC"
	RecordNote  Code = "W-RECORD"
	NoNode      Code = "W-NONODE"
	Skipped     Code = "W-SKIPPED"
	StaleNote   Code = "W-STALE"
	Leftover    Code = "W-LEFTOVER"
	PlanNote    Code = "W-PLAN"
	NoStage     Code = "W-STAGE"
	EngineNote  Code = "W-ENGINE"
	BundleNote  Code = "W-BUNDLE"
)

// KindOf returns the kind of err by the outermost code in it. An error that carries none is [Broken].
func KindOf(err error) Kind {
	var e *Error
	if !errors.As(err, &e) {
		return Broken
	}
	entry, _ := Lookup(e.Code)
	return entry.Kind
}

// Error is an error with a code. What names the object (a device, a file, an annotation), Err is the cause, Hint says in
// one sentence what to do about it. An Error is never changed once it is made: [Error.WithCode] and [Error.WithHint] return
// copies.
type Error struct {
	Code Code
	What string
	Err  error
	Hint string
}

// Error is "what: why".
func (e *Error) Error() string {
	if e.What == "" {
		return e.Err.Error()
	}
	return e.What + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error about what, whose cause is the formatted text (%w works), without a hint.
func New(code Code, what, format string, args ...any) *Error {
	return &Error{Code: code, What: what, Err: fmt.Errorf(format, args...)}
}

// WithCode returns a copy of e with another code.
func (e *Error) WithCode(code Code) *Error {
	c := *e
	c.Code = code
	return &c
}

// WithHint returns a copy of e that says what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// From returns the outermost [Error] in err's chain with the text of the whole of err, or an E-INTERNAL around an err
// that carries none. nil gives nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Code: Internal, Err: err, Hint: "this is a defect of gpu-hook: report it with this line"}
	}
	if outermost, ok := err.(*Error); ok { //nolint:errorlint // is it the outermost itself
		return outermost
	}
	return &Error{Code: e.Code, Err: err, Hint: e.Hint}
}

// Is reports whether err carries code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
