package main

import (
	"strings"
	"testing"
)

// panics is an input that finds a defect.
type panics struct{}

func (panics) Read([]byte) (int, error) { panic("a defect") }

// A defect is told as any other failure is, and ends in status 1: 2 would be Go's own, and stands for a wrong usage.
func TestPanicIsAFailure(t *testing.T) {
	var stdout, stderr strings.Builder
	status := run([]string{"createRuntime"}, process{stdin: panics{}, stdout: &stdout, stderr: &stderr})
	said := stderr.String()
	if status != exitRefused || !strings.Contains(said, "a defect") || strings.Contains(said, "goroutine") {
		t.Errorf("status %d: %s", status, said)
	}
}
