package fault

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
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

// A panic of a goroutine without a guard ends the process with Go's trace, and nothing is undone. Each goroutine of the
// program has one: of its own, or that of run in package main.
func TestEveryGoroutineIsGuarded(t *testing.T) {
	found := 0
	err := filepath.WalkDir(require.Tree(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "test" || name == "bin" || name == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		n, err := checkGoroutines(t, path)
		found += n
		return err
	})
	if err != nil || found < 4 {
		t.Errorf("%d goroutines, %v", found, err)
	}
}

// checkGoroutines checks those that a file starts, and returns their number.
func checkGoroutines(t *testing.T, path string) (found int, err error) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, 0)
	if err != nil {
		return 0, err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		statement, ok := n.(*ast.GoStmt)
		if !ok {
			return true
		}
		found++
		body := string(text[set.Position(statement.Pos()).Offset:set.Position(statement.End()).Offset])
		if !strings.Contains(body, "fault.Guard(") && !strings.Contains(body, "fault.Carry(") &&
			!strings.Contains(body, "os.Exit(run(") {
			t.Errorf("%s: a goroutine without fault.Guard or fault.Carry:\n%s", set.Position(statement.Pos()), body)
		}
		return true
	})
	return found, nil
}
