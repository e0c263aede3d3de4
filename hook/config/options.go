package config

// Options come from the command line, which is the administrator's.
type Options struct {
	Config   string   // file of the configuration; "" for the default
	SpecDirs []string // directories of CDI Specs, in the place of the configuration's
	Engine   string   // whose hook's definition it is, or ""
}

// Load reads the configuration. With an error come the built-in rules, which then decide whether something is requested.
func (o Options) Load() (*Config, error) {
	c, err := Load(o.Config)
	if len(o.SpecDirs) > 0 {
		c.CDI.SpecDirs = o.SpecDirs
	}
	return c, err
}
