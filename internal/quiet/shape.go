package quiet

import "unicode/utf8"

// shape is the type into which package state decodes a value. A value of another type is an error there, so that it is
// not quiet here.
type shape uint8

const (
	anything shape = iota // it is not decoded; any JSON may stand there
	text
	variable // text that sets a variable of the container's process
	boolean
	number // an integer

	// Lists.
	texts
	variables
	numbers
	mounts
	hooks
	namespaces
	devices
	rules

	// Objects with any keys.
	textMap
	netDevices

	// Objects whose keys are fields.
	stateObject
	specObject
	processObject
	userObject
	capabilitiesObject
	rootObject
	mountObject
	hooksObject
	hookObject
	linuxObject
	resourcesObject
	ruleObject
	namespaceObject
	deviceObject
	netDeviceObject
	intelRdtObject
)

// field returns the shape of a field of an object and its key, "" if there is no such field. lower is the key in lower
// case.
func (s shape) field(lower string) (key string, of shape) {
	switch s {
	case stateObject:
		switch lower {
		case "ociversion":
			return "ociVersion", text
		case "id":
			return "id", text
		case "status":
			return "status", text
		case "pid":
			return "pid", number
		case "bundle":
			return "bundle", text
		case "annotations":
			return "annotations", textMap
		case "root":
			return "root", text
		}
	case specObject:
		switch lower {
		case "ociversion":
			return "ociVersion", text
		case "process":
			return "process", processObject
		case "root":
			return "root", rootObject
		case "mounts":
			return "mounts", mounts
		case "hooks":
			return "hooks", hooksObject
		case "annotations":
			return "annotations", textMap
		case "linux":
			return "linux", linuxObject
		}
	case processObject:
		switch lower {
		case "user":
			return "user", userObject
		case "args":
			return "args", texts
		case "env":
			return "env", variables
		case "cwd":
			return "cwd", text
		case "capabilities":
			return "capabilities", capabilitiesObject
		}
	case userObject:
		switch lower {
		case "uid":
			return "uid", number
		case "gid":
			return "gid", number
		case "umask":
			return "umask", number
		case "additionalgids":
			return "additionalGids", numbers
		case "username":
			return "username", text
		}
	case capabilitiesObject:
		switch lower {
		case "bounding":
			return "bounding", texts
		case "effective":
			return "effective", texts
		case "inheritable":
			return "inheritable", texts
		case "permitted":
			return "permitted", texts
		case "ambient":
			return "ambient", texts
		}
	case rootObject:
		switch lower {
		case "path":
			return "path", text
		case "readonly":
			return "readonly", boolean
		}
	case mountObject:
		switch lower {
		case "destination":
			return "destination", text
		case "type":
			return "type", text
		case "source":
			return "source", text
		}
	case hooksObject:
		switch lower {
		case "prestart":
			return "prestart", hooks
		case "createruntime":
			return "createRuntime", hooks
		case "createcontainer":
			return "createContainer", hooks
		case "startcontainer":
			return "startContainer", hooks
		case "poststart":
			return "poststart", hooks
		case "poststop":
			return "poststop", hooks
		}
	case hookObject:
		switch lower {
		case "path":
			return "path", text
		case "args":
			return "args", texts
		case "env":
			return "env", texts
		case "timeout":
			return "timeout", number
		}
	case linuxObject:
		switch lower {
		case "resources":
			return "resources", resourcesObject
		case "cgroupspath":
			return "cgroupsPath", text
		case "namespaces":
			return "namespaces", namespaces
		case "devices":
			return "devices", devices
		case "netdevices":
			return "netDevices", netDevices
		case "intelrdt":
			return "intelRdt", intelRdtObject
		}
	case resourcesObject:
		switch lower {
		case "devices":
			return "devices", rules
		}
	case ruleObject:
		switch lower {
		case "allow":
			return "allow", boolean
		case "type":
			return "type", text
		case "major":
			return "major", number
		case "minor":
			return "minor", number
		case "access":
			return "access", text
		}
	case namespaceObject:
		switch lower {
		case "type":
			return "type", text
		case "path":
			return "path", text
		}
	case deviceObject:
		switch lower {
		case "path":
			return "path", text
		case "type":
			return "type", text
		case "major":
			return "major", number
		case "minor":
			return "minor", number
		case "filemode":
			return "fileMode", number
		case "uid":
			return "uid", number
		case "gid":
			return "gid", number
		}
	case netDeviceObject:
		switch lower {
		case "name":
			return "name", text
		}
	case intelRdtObject:
		switch lower {
		case "closid":
			return "closID", text
		case "schemata":
			return "schemata", texts
		case "l3cacheschema":
			return "l3CacheSchema", text
		case "membwschema":
			return "memBwSchema", text
		case "enablemonitoring":
			return "enableMonitoring", boolean
		}
	default:
	}
	return "", anything
}

// isObject reports whether an object may stand there.
func (s shape) isObject() bool { return s == anything || s >= textMap }

// member returns the shape of the value of a key. It is not ok if the key is a field's but for its letters' case:
// encoding/json takes it for that, too.
func (s shape) member(key []byte) (of shape, ok bool) {
	switch s {
	case anything:
		return anything, true
	case textMap:
		return text, true
	case netDevices:
		return netDeviceObject, true
	default:
	}
	const longest = 32 // more than the key of any field has, in any letters that fold to it
	if len(key) > longest {
		return anything, true
	}
	var folded [longest]byte
	for i, c := range key {
		if c >= utf8.RuneSelf {
			return anything, false // it may fold to a letter of ASCII
		}
		folded[i] = lower(c)
	}
	name, of := s.field(string(folded[:len(key)]))
	return of, name == "" || name == string(key)
}

// element returns the shape of the elements of a list, and whether a list may stand there.
func (s shape) element() (of shape, ok bool) {
	switch s {
	case anything:
		return anything, true
	case texts:
		return text, true
	case variables:
		return variable, true
	case numbers:
		return number, true
	case mounts:
		return mountObject, true
	case hooks:
		return hookObject, true
	case namespaces:
		return namespaceObject, true
	case devices:
		return deviceObject, true
	case rules:
		return ruleObject, true
	default:
		return anything, false
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}
