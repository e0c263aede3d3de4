// Package fault defines the errors and warnings that an operator reads. Each has a stable code, the object it is about,
// the cause and a hint. The package decides nothing and prints nothing.
package fault

import (
	"errors"
	"fmt"
)

// Code is the name of one sort of error or warning. Scripts rely on it, so the text of a code never changes.
type Code string

// Codes of errors. [Lookup] describes each.
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

// Codes of warnings.
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
	TimeoutNote Code = "W-TIMEOUT"
)

// KindOf returns the kind of err by the outermost code in it. An error that carries none is [Broken].
func KindOf(err error) Kind {
	var e *Error
	if !errors.As(err, &e) {
		return Broken
	}
	entry, _ := Lookup(e.code) // never missing: see New
	return entry.Kind
}

// Error is an error with a code. It cannot be changed: [Error.WithCode] and [Error.WithHint] return copies. It is made
// by [New] and [From] alone.
type Error struct {
	code  Code
	what  string
	cause error
	hint  string
}

// Code returns the code. [Table] has an entry for it.
func (e *Error) Code() Code { return e.code }

// What returns the name of the object: a device, a file, an annotation. It is "" if the cause names it.
func (e *Error) What() string { return e.what }

// Hint returns what to do about the error, in one sentence, or "".
func (e *Error) Hint() string { return e.hint }

// Error returns "what: cause".
func (e *Error) Error() string {
	if e.what == "" {
		return e.cause.Error()
	}
	return e.what + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// New returns an error about what, whose cause is the formatted text (%w works), without a hint. If [Table] has no
// entry for the code, which is a defect of gpu-hook, the code is E-INTERNAL and the text names the code.
func New(code Code, what, format string, args ...any) *Error {
	return (&Error{what: what, cause: fmt.Errorf(format, args...)}).WithCode(code)
}

// WithCode returns a copy of e with another code. A code without an entry is handled as by [New].
func (e *Error) WithCode(code Code) *Error {
	c := *e
	c.code = code
	if _, known := Lookup(code); !known {
		c.code, c.cause = Internal, fmt.Errorf("%w (code %q is not in the table of codes)", e.cause, code)
	}
	return &c
}

// WithHint returns a copy of e that says what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.hint = fmt.Sprintf(format, args...)
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
		return &Error{code: Internal, cause: err, hint: "this is a defect of gpu-hook: report it with this line"}
	}
	if outermost, ok := err.(*Error); ok { //nolint:errorlint // whether err itself is one, not its chain
		return outermost
	}
	return &Error{code: e.code, cause: err, hint: e.hint}
}

// Is reports whether err carries code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.code == code
}
