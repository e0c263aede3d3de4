package hosts

const (
	dropIns   = "/etc/containers/containers.conf.d/"
	adminDir  = "/etc/containers/oci/hooks.d"
	sharedDir = "/usr/share/containers/oci/hooks.d"
	podmanDir = "/usr/share/gpu-hook/podman-hooks.d"
)

// engineHosts are hosts on which the engine does not call gpu-hook as it should.
func engineHosts() []host {
	hosts := []host{
		{
			name: "gpu-hook is not installed", breaks: "gpu-hook uninstall && cp /usr/lib/gpu-hosts/gpu-hook /usr/local/bin/",
			cause: []string{"podman never calls gpu-hook"},
		},
		{
			name: "a drop-in names another directory", share: true,
			breaks: "mkdir -p " + adminDir + ` && printf '[engine]\nhooks_dir = ["` + adminDir + `"]\n' >` + dropIns +
				"99-site.conf",
			cause: []string{"podman never calls gpu-hook", dropIns + "99-site.conf"},
		},
		{
			name: "a drop-in names no directory", breaks: `printf '[engine]\nhooks_dir = []\n' >` + dropIns + "99-site.conf",
			cause: []string{"podman never calls gpu-hook", dropIns + "99-site.conf"},
		},
		{
			name: "the definition is masked",
			breaks: "mkdir -p " + adminDir + ` && printf '[engine]\nhooks_dir = ["` + podmanDir +
				`", "` + adminDir + `"]\n' >` + dropIns +
				"99-site.conf && sed 's,/usr/local/bin/gpu-hook,/bin/true,' " + podmanDir +
				"/gpu-hook.json >" + adminDir + "/gpu-hook.json && cp " + adminDir + "/gpu-hook.json " + adminDir +
				"/gpu-hook-precreate.json",
			cause: []string{adminDir + "/gpu-hook.json takes the place"},
		},
		{
			name:   "the definition matches nothing",
			breaks: `sed -i 's/"always": true/"always": false/' ` + podmanDir + "/*.json",
			cause:  []string{"holds for no container"},
		},
		{
			name: "the definition matches an annotation", breaks: `sed -i 's/"always": true/"annotations": {"^gpu$": "1"}/' ` +
				podmanDir + "/*.json",
			cause: []string{"only for some containers"},
		},
		{
			name: "the definition has another ending", breaks: "mv " + sharedDir + "/gpu-hook.json " + sharedDir +
				"/gpu-hook.json.rpmsave && rm -r " + podmanDir + " " + dropIns + "50-gpu-hook.conf",
			cause: []string{"gpu-hook.json.rpmsave"},
		},
		{
			name: "the binary is elsewhere", breaks: "mv /usr/local/bin/gpu-hook /usr/bin/gpu-hook",
			cause: []string{"/usr/local/bin/gpu-hook"},
		},
		{
			name:   "the binary is not executable",
			breaks: "chmod 644 /usr/local/bin/gpu-hook && cp -a /usr/lib/gpu-hosts/gpu-hook /usr/bin/",
			cause:  []string{"/usr/local/bin/gpu-hook"},
		},
		{
			name: "another definition is broken", breaks: "echo '{nonsense' >" + sharedDir + "/x.json",
			cause: []string{sharedDir + "/x.json"},
		},
		{
			name: "podman's configuration is broken", breaks: `printf '[engine]\nhooks_dir = [\n' >` + dropIns + "99-site.conf",
			cause: []string{dropIns + "99-site.conf"},
			steps: []step{{words: "correct the file", command: "rm " + dropIns + "99-site.conf"}},
		},
		{
			name: "the hook of NVIDIA's is beside", breaks: `cp /bin/false /usr/bin/nvidia-container-runtime-hook
echo '{"version": "1.0.0", "hook": {"path": "/usr/bin/nvidia-container-runtime-hook", "args": ["x", "prestart"]},
"when": {"always": true}, "stages": ["prestart"]}' >` + sharedDir + "/oci-nvidia-hook.json",
			cause: []string{"oci-nvidia-hook.json"},
		},
	}
	for i := range hosts {
		hosts[i].blind = true
	}
	return hosts
}

func policyHosts() []host {
	config := func(text string) string {
		return "mkdir -p /etc/gpu-hook && printf '" + text + "' >/etc/gpu-hook/config.toml"
	}
	const file = "/etc/gpu-hook/config.toml"
	return []host{
		{
			name: "the configuration does not parse", breaks: config(`[requests\n`), cause: []string{file},
			steps: []step{{words: "correct|fix|file", command: "rm " + file}},
		},
		{
			name: "the configuration has an unknown key", breaks: config(`[requests]\nsource = ["env"]\n`),
			cause: []string{file, `did you mean "sources"?`},
			steps: []step{{words: "correct the file", command: "sed -i s/source/sources/ " + file}},
		},
		{
			name: "policy closes the environment", breaks: config(`[engines.podman]\nsources = ["annotation"]\n`),
			cause: []string{`does not list "env"`}, found: []string{"environment"},
			steps: []step{
				{words: `(sources = \[[^]]*\])`, command: `printf '[engines.podman]\n%s\n' '$1' >` + file},
			},
		},
		{
			name: "policy lists no source", breaks: config(`[requests]\nsources = []\n`),
			cause: []string{"source"},
			steps: []step{
				{words: `(sources = \[[^]]*\])`, command: `printf '[engines.podman]\n%s\n' '$1' >` + file},
			},
		},
		{
			name:   "the vendor has no driver that is here",
			breaks: config(`[[vendor]]\nname = "nvidia"\ndrivers = ["nvidia.runtime-hook"]\n`),
			cause:  []string{"nvidia-container-runtime-hook"},
			steps:  []step{{words: "let CDI serve", command: "rm " + file}},
		},
		{
			name: "Specs are elsewhere", breaks: config(`[cdi]\nspec-dirs = ["/srv/cdi"]\n`),
			cause: []string{"/srv/cdi"},
		},
		{
			name: "others may write the configuration", breaks: config("") + " && chmod 666 " + file, cause: []string{file},
		},
		{
			name:   "the delegate's program is missing",
			breaks: "rm " + spec + " && cp /bin/true /usr/bin/nvidia-container-runtime-hook",
			cause:  []string{"no CDI Spec"}, found: []string{"nvidia-container-cli"},
		},
	}
}
