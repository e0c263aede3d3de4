package config

// Options are settings from the command line, which only the administrator writes.
type Options struct {
	Config   string   // path of the configuration file; "" for the default
	SpecDirs []string // directories of CDI Specs, which replace the configured ones
	Engine   string   // the engine that the hook's definition names, or ""
}

// Load reads the configuration. On error it also returns the built-in defaults, which then decide whether something is
// requested.
func (o Options) Load() (*Config, error) {
	c, err := Load(o.Config)
	if len(o.SpecDirs) > 0 {
		c.CDI.SpecDirs = o.SpecDirs
	}
	return c, err
}
