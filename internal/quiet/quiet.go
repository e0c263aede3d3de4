// Package quiet recognizes containers that request nothing, from the bytes of their state and config.json alone. Most
// containers of a host request nothing, and the hook runs for each of them. This package decides before any library is
// initialised, and so it imports next to nothing.
//
// It says that a container is quiet only if package hook would find no request and have nothing to report. It need not
// recognize every such container: for everything unusual it says no, and package hook decides. Whatever makes a string
// a request elsewhere must be a trigger here. Tests compare the two packages: see FuzzQuiet in package hook.
package quiet

// MaxSpec bounds a config.json that may be quiet, in bytes.
const MaxSpec = 3 << 20

// Bundle returns the bundle that a state JSON names, and whether the state can be that of a quiet container.
func Bundle(state []byte, t *Triggers) (path string, ok bool) {
	s := scanner{data: state, triggers: t}
	if !s.document(stateObject) || !isPlain(s.bundle) {
		return "", false
	}
	return string(s.bundle), true
}

// Spec reports whether the container with this config.json is quiet.
func Spec(config []byte, t *Triggers) bool {
	s := scanner{data: config, triggers: t}
	return len(config) <= MaxSpec && s.document(specObject)
}

// isPlain reports whether a path is absolute and has no element that is empty, "." or "..".
func isPlain(path []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return false
	}
	start := 1
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		switch string(path[start:i]) {
		case "", ".", "..":
			return false
		}
		start = i + 1
	}
	return true
}
