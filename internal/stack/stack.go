// Package stack gives a goroutine at once the stack that it will need.
package stack

// size is as much stack, in bytes, as planning and applying a request needs.
const size = 24 << 10

// Grow makes the stack of the calling goroutine as large as a stage of gpu-hook needs it.
//
// A goroutine begins with 2 KiB, and its stack is copied to one of twice the size each time it is too small. For each
// copy the runtime looks up every function that is on the stack, in tables of the program that have to be mapped for
// it. For a container with 8 GPUs there were ten copies, which took 4 % of the time and 0.6 MiB of memory. A stack that
// is grown while hardly anything is on it is copied once.
//
//go:noinline
func Grow() {
	var room [size]byte
	hold(&room)
}

// hold keeps the compiler from leaving room out.
//
//go:noinline
func hold(*[size]byte) {}
