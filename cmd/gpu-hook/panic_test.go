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
	if status != exitRefused || !strings.Contains(stderr.String(), "a defect") || strings.Contains(stderr.String(), "goroutine") {
		t.Errorf("status %d: %s", status, stderr.String())
	}
}
