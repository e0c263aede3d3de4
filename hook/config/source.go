package config

// Kinds of sources of requests. A configuration may list all but SourceFlag.
const (
	SourceAnnotation    = "annotation"     // gpu-hook/gpus
	SourceCDIAnnotation = "cdi-annotation" // cdi.k8s.io/*
	SourceMount         = "mount"          // mounts below /var/run/nvidia-container-devices
	SourceEnv           = "env"            // the vendor's visible-devices variable
	SourceFlag          = "flag"           // --gpus of gpu-hook explain, which replaces gpu-hook/gpus
)

// Sources returns the kinds that a configuration may list, in the default order, highest first.
func Sources() []string {
	return []string{SourceAnnotation, SourceCDIAnnotation, SourceMount, SourceEnv}
}

// Source is where a request comes from. Decisions must depend on Kind alone: the container's author chooses the key.
type Source struct {
	Kind      string // one of the constants above
	UnsafeKey string // the annotation's key or the variable's name; "" for the other kinds
}

// String returns the source as reports write it: "annotation:KEY", "env:NAME", "mount" or "flag".
func (s Source) String() string {
	switch s.Kind {
	case SourceAnnotation, SourceCDIAnnotation:
		return "annotation:" + s.UnsafeKey
	case SourceEnv:
		return "env:" + s.UnsafeKey
	}
	return s.Kind
}
