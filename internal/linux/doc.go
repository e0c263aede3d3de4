// Package linux has the system calls that more than one room makes, and those that os and syscall lack. Each is repeated if
// a signal has interrupted it, and fails with an error that names the call, unless its comment says otherwise. Nothing here
// knows of containers or devices.
//
// Go's scheduler interrupts threads by signals all the time. Some of these calls cannot be interrupted, as those that change
// the calling thread; they are repeated like the others, which costs nothing and needs no list of exceptions.
package linux
