// Package linux makes system calls: those that several packages need, and those that packages os and syscall lack. A
// call that a signal has interrupted is repeated. Errors name the call, unless a function's comment says otherwise.
// Nothing here knows of containers or devices.
//
// Some of these calls can never be interrupted, for example those that change the calling thread. They are treated like
// the others: a retry that never happens costs nothing, and no list of exceptions has to be kept.
package linux
