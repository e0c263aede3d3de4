package quiet

// names returns the beginnings of built-in requests: what ends in a slash begins the keys of annotations, anything else
// is the name of a variable.
func names() []string {
	return []string{
		"gpu-hook/",
		"cdi.k8s.io/",
		visible,
		"NVIDIA_IMEX_CHANNELS",
		legacy,
		"AMD_VISIBLE_DEVICES",
	}
}

// visible is the variable that requests devices of NVIDIA's. It is often set to "void" or to nothing, which requests
// none. An image with the variable legacy means all devices, unless visible is set.
const (
	visible = "NVIDIA_VISIBLE_DEVICES"
	legacy  = "CUDA_VERSION"
)

// mountRoot is the last element of the directory below which mounts request devices.
const mountRoot = "nvidia-container-devices"

// otherHooks returns the names of vendors' own hooks.
func otherHooks() []string {
	return []string{"nvidia-container-runtime-hook", "nvidia-container-toolkit"}
}

// Triggers are what strings of a state or of config.json begin with if they may be a request: built-in ones, and those
// that a configuration file can add.
type Triggers struct {
	names []string
	first [256]bool // the first bytes of all of them
	last  [256]bool // the last bytes of paths that may be those of other hooks
	// near are the names of variables that are long enough for others to be compared with them, nearLongest is the length
	// of the longest. nearStart are the first two bytes of each, in letters of both cases.
	near        []string
	nearLongest int
	nearStart   [256]bool

	// otherVariables says that a configuration may have given other variables to NVIDIA's devices.
	otherVariables bool
}

// NewTriggers returns the built-in triggers.
func NewTriggers() *Triggers {
	t := &Triggers{}
	for _, name := range names() {
		t.add(name)
	}
	t.last['/'] = true
	for _, name := range otherHooks() {
		t.last[name[len(name)-1]] = true
	}
	return t
}

func (t *Triggers) add(name string) {
	if name != "" {
		t.names = append(t.names, name)
		t.first[name[0]] = true
		t.addNear(name)
	}
}

func (t *Triggers) addNear(name string) {
	if len(name) < minNearName || name[len(name)-1] == '/' {
		return
	}
	t.near, t.nearLongest = append(t.near, name), max(t.nearLongest, len(name))
	for i := range 2 {
		t.nearStart[name[i]], t.nearStart[lower(name[i])], t.nearStart[upper(name[i])] = true, true, true
	}
}

// found reports whether a string of JSON, without its quotes, may be a request or name a vendor's own hook. The string
// has no escapes for characters of triggers.
func (t *Triggers) found(raw []byte) bool {
	// An annotation whose key begins with a quote is a mistake in a request.
	if len(raw) > 2 && raw[0] == '\\' && raw[1] == '"' {
		raw = raw[2:]
	}
	if len(raw) == 0 {
		return false
	}
	if t.first[raw[0]] {
		for _, name := range t.names {
			if begins(raw, name) {
				return true
			}
		}
	}
	return raw[0] == '/' && contains(raw, mountRoot) || t.last[raw[len(raw)-1]] && isOtherHook(raw)
}

// isClose reports whether the key of an annotation may be nearly one that requests devices, which package hook reports:
// it begins with "cdi" or contains "gpu", in letters of any case.
func isClose(key []byte) bool {
	return len(key) > 2 && lower(key[0]) == 'c' && lower(key[1]) == 'd' && lower(key[2]) == 'i' || mentionsGPU(key)
}

// minNearName is the length from which a variable's name is compared with others.
const minNearName = 12

// nearVariable reports whether text sets a variable whose name is nearly one that requests devices, but not that one:
// one letter is wrong, or the case of letters. Package hook reports it.
//
// With one letter wrong, one of the first two is still one of the name's first two. That rules most variables out at
// once: an environment of 1 MB took 0.4 ms longer without.
func (t *Triggers) nearVariable(text []byte) bool {
	if len(text) <= minNearName || !t.nearStart[text[0]] && !t.nearStart[text[1]] {
		return false
	}
	end := 0
	for end < len(text) && end <= t.nearLongest+1 && text[end] != '=' {
		end++
	}
	if end == len(text) || text[end] != '=' {
		return false
	}
	set := text[:end]
	for _, name := range t.near {
		if len(name) >= end-1 && len(name) <= end+1 && string(set) != name && oneEdit(set, name) {
			return true
		}
	}
	return false
}

// oneEdit reports whether a is b, in letters of any case, but for one character more, less or other, or two neighbours
// exchanged.
func oneEdit(a []byte, b string) bool {
	for len(a) > 0 && b != "" && lower(a[0]) == lower(b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && b != "" && lower(a[len(a)-1]) == lower(b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && lower(a[0]) == lower(b[1]) && lower(a[1]) == lower(b[0])
	return swapped || len(a) <= 1 && len(b) <= 1
}

// mentionsGPU reports whether the key contains "gpu" in letters of any case.
func mentionsGPU(key []byte) bool {
	for i := 0; i+3 <= len(key); i++ {
		if lower(key[i]) == 'g' && lower(key[i+1]) == 'p' && lower(key[i+2]) == 'u' {
			return true
		}
	}
	return false
}

// isVoid reports whether a string sets the variable visible so that it requests nothing.
func isVoid(raw []byte) bool {
	return string(raw) == visible+"=" || string(raw) == visible+"=void"
}

// isOtherHook reports whether text can be the path of a vendor's own hook.
func isOtherHook(text []byte) bool {
	for len(text) > 0 && text[len(text)-1] == '/' {
		text = text[:len(text)-1]
	}
	for _, name := range otherHooks() {
		if len(text) >= len(name) && string(text[len(text)-len(name):]) == name {
			return true
		}
	}
	return false
}

// begins reports whether text is an annotation's key with this prefix, or sets the variable of this name.
func begins(text []byte, name string) bool {
	if len(text) < len(name) || string(text[:len(name)]) != name {
		return false
	}
	if name[len(name)-1] == '/' {
		return true
	}
	return len(text) > len(name) && text[len(name)] == '='
}

func contains(text []byte, part string) bool {
	for i := 0; i+len(part) <= len(text); i++ {
		if text[i] == part[0] && string(text[i:i+len(part)]) == part {
			return true
		}
	}
	return false
}
