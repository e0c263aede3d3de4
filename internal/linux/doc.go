// Package linux is the system calls that more than one room makes, each once: with the retry that the kernel expects of its
// callers, and with an error that names the call. It holds nothing that knows of containers or devices.
package linux
