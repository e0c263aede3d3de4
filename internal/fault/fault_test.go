package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestFrom(t *testing.T) {
	inner := New(Node, "device node /dev/x", "it is gone: %w", fs.ErrNotExist).WithHint("load the %s", "driver")
	outer := New(Hook, "hook /bin/h", "%w", inner)
	const defect = "this is a defect of gpu-hook: report it with this line"
	for _, test := range []struct {
		name string
		err  error
		code Code
		text string
		hint string
	}{
		{"itself", inner, Node, "device node /dev/x: it is gone: file does not exist", "load the driver"},
		{
			"wrapped", fmt.Errorf("plan: %w", inner), Node,
			"plan: device node /dev/x: it is gone: file does not exist", "load the driver",
		},
		{"outermost of two", outer, Hook, "hook /bin/h: device node /dev/x: it is gone: file does not exist", ""},
		{"outermost of two, wrapped", fmt.Errorf("apply: %w", outer), Hook, "apply: hook /bin/h: device node /dev/x: it " +
			"is gone: file does not exist", ""},
		{
			"joined", errors.Join(errors.New("a"), inner), Node,
			"a\ndevice node /dev/x: it is gone: file does not exist", "load the driver",
		},
		{"without what", New(Trust, "", "it is owned by uid %d", 7), Trust, "it is owned by uid 7", ""},
		{"no code", errors.New("boom"), Internal, "boom", defect},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := From(test.err)
			if got.Code() != test.code || got.Error() != test.text || got.Hint() != test.hint {
				t.Errorf("got %s %q, hint %q; want %s %q, hint %q", got.Code(), got, got.Hint(), test.code, test.text, test.hint)
			}
			if !errors.Is(got, test.err) {
				t.Error("the error itself is not in the chain")
			}
		})
	}
	if From(inner) != inner {
		t.Error("an Error is not returned as it is")
	}
	if got := From(nil); got != nil {
		t.Errorf("nil gives %v", got)
	}
}

func TestIs(t *testing.T) {
	inner := New(Node, "x", "y")
	for _, test := range []struct {
		name string
		err  error
		code Code
		want bool
	}{
		{"itself", inner, Node, true},
		{"wrapped", fmt.Errorf("z: %w", inner), Node, true},
		{"another code", inner, Mount, false},
		{"the outermost decides", New(Hook, "h", "%w", inner), Node, false},
		{"no code", errors.New("x"), Internal, false},
		{"nil", nil, Internal, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Is(test.err, test.code); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want Kind
	}{
		{"a mistake", New(Request, "x", "y"), Mistake},
		{"a decision", New(Policy, "x", "y"), Mistake},
		{"unavailable", New(NoSpec, "x", "y"), Unavailable},
		{"broken", New(Trust, "x", "y"), Broken},
		{"wrapped", fmt.Errorf("z: %w", New(Conflict, "x", "y")), Mistake},
		{"the outermost decides", New(Hook, "h", "%w", New(NoSpec, "x", "y")), Broken},
		{"no code", errors.New("x"), Broken},
		{"nil", nil, Broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := KindOf(test.err); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestUnknownCode(t *testing.T) {
	for name, err := range map[string]*Error{
		"new":     New("E-NONE", "x", "%w", fs.ErrNotExist).WithHint("do"),
		"changed": New(Node, "x", "%w", fs.ErrNotExist).WithHint("do").WithCode("E-NONE"),
	} {
		const text = `x: file does not exist (code "E-NONE" is not in the table of codes)`
		if err.Code() != Internal || err.Error() != text || err.Hint() != "do" || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s %v, hint %q", name, err.Code(), err, err.Hint())
		}
	}
}

func TestWithCodeCopies(t *testing.T) {
	e := New(Node, "x", "y").WithHint("do")
	c := e.WithCode(Stale)
	if c.Code() != Stale || c.What() != "x" || c.Error() != "x: y" || c.Hint() != "do" || e.Code() != Node {
		t.Errorf("copy %s %v, hint %q, original %s", c.Code(), c, c.Hint(), e.Code())
	}
}

func TestWithHintCopies(t *testing.T) {
	e := New(Node, "x", "y")
	if h := e.WithHint("do"); h.Hint() != "do" || e.Hint() != "" {
		t.Errorf("hint of the copy %q, of the original %q", h.Hint(), e.Hint())
	}
}
