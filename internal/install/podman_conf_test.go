package install

import (
	"os"
	"strings"
	"testing"
)

// The drop-in repeats what the files before it name, and adds podman's own directory at the end. Files after it
// override it.
func TestDropIn(t *testing.T) {
	const (
		vendor  = "/usr/share/containers/containers.conf"
		admin   = "/etc/containers/containers.conf"
		earlier = "/etc/containers/containers.conf.d/10-a.conf"
		later   = "/etc/containers/containers.conf.d/60-b.conf"
		last    = "/etc/containers/containers.conf.d/99-c.conf"
		users   = "/home/ann/xdg/containers/containers.conf"
		usersD  = "/home/ann/xdg/containers/containers.conf.d/"
		own     = "/home/ann/xdg/containers/oci/hooks.d"
	)
	for name, test := range map[string]struct {
		user   *User
		host   map[string]string
		dirs   string
		advice []string
	}{
		"nothing named": {
			host: map[string]string{admin: "[engine]\n"},
			dirs: `"` + SystemHooks + `", "` + PodmanHooks + `"`,
		},
		"a directory that an administrator has left out": {
			host: map[string]string{admin: "[engine]\nhooks_dir = [\"/mine\"]\n"},
			dirs: `"/mine", "` + PodmanHooks + `"`,
		},
		"the last file decides": {
			host: map[string]string{
				vendor: "[engine]\nhooks_dir = [\"/v\"]\n", admin: "[engine]\nhooks_dir = [\"/a\"]\n",
				earlier: "[engine]\nhooks_dir = [\"/e\"]\n",
			},
			dirs: `"/e", "` + PodmanHooks + `"`,
		},
		"a list that is appended": {
			host: map[string]string{
				admin:   "[engine]\nhooks_dir = [\"/a\"]\n",
				earlier: "[engine]\nhooks_dir = [\"/e\", {append = true}]\n",
			},
			dirs: `"/a", "/e", "` + PodmanHooks + `"`,
		},
		"a list that is not appended": {
			host: map[string]string{
				admin:   "[engine]\nhooks_dir = [\"/a\"]\n",
				earlier: "[engine]\nhooks_dir = [\"/e\", {append = false}]\n",
			},
			dirs: `"/e", "` + PodmanHooks + `"`,
		},
		"an empty list": {
			host: map[string]string{admin: "[engine]\nhooks_dir = []\n"},
			dirs: `"` + PodmanHooks + `"`,
		},
		"podman's own directory, named already": {
			host: map[string]string{admin: "[engine]\nhooks_dir = [\"" + PodmanHooks + "\", \"/a\", \"/a\"]\n"},
			dirs: `"/a", "` + PodmanHooks + `"`,
		},
		"a file that podman complains about": {
			host: map[string]string{admin: "[engine]\nhooks_dir = [\"/a\"]\n", earlier: "hooks_dir = ["},
			dirs: `"/a", "` + PodmanHooks + `"`,
		},
		"files that podman does not read": {
			host: map[string]string{
				admin: "", earlier + ".bak": "[engine]\nhooks_dir = [\"/bak\"]\n",
				users: "[engine]\nhooks_dir = [\"/u\"]\n",
			},
			dirs: `"` + SystemHooks + `", "` + PodmanHooks + `"`,
		},
		"files that podman reads later": {
			host: map[string]string{
				later: "[engine]\nhooks_dir = [\"/b\"]\n", last: "[engine]\nhooks_dir = [\"/c\", {append = true}]\n",
			},
			dirs:   `"` + SystemHooks + `", "` + PodmanHooks + `"`,
			advice: []string{"overruled " + later + " " + PodmanHooks},
		},
		"later files that agree": {
			host: map[string]string{later: "[engine]\nhooks_dir = [\"" + PodmanHooks + "\"]\n", last: "[engine]\n"},
			dirs: `"` + SystemHooks + `", "` + PodmanHooks + `"`,
		},
		"a user's podman reads the host's files first": {
			user: ann(),
			host: map[string]string{last: "[engine]\nhooks_dir = [\"/c\"]\n", users: "[engine]\n"},
			dirs: `"/c", "` + own + `"`,
		},
		"a user's files": {
			user: ann(),
			host: map[string]string{
				last: "[engine]\nhooks_dir = [\"/c\"]\n", users: "[engine]\nhooks_dir = [\"/u\"]\n",
				usersD + "70-z.conf": "[engine]\nhooks_dir = [\"/z\"]\n",
			},
			dirs:   `"/u", "` + own + `"`,
			advice: []string{"overruled " + usersD + "70-z.conf " + own},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, path := newHost(t, test.host), dropIn
			if test.user != nil {
				path = userDropIn
			}
			changes := h.install(Target{User: test.user}, h.options())
			text := h.read(path)
			h.same("hooks_dir", text[strings.Index(text, "[engine]"):], "[engine]\nhooks_dir = ["+test.dirs+"]\n")
			var advice []string
			for _, c := range changes {
				if !strings.HasPrefix(c, "installed ") {
					advice = append(advice, c)
				}
			}
			h.same("advice", advice, test.advice)
			for file, content := range test.host {
				h.same(file, h.read(file), content)
			}
		})
	}
}

// A second Install reads what the administrator has changed since. It does not merge with its own drop-in.
func TestDropInIsMadeAfresh(t *testing.T) {
	h := newHost(t, map[string]string{"/etc/containers/containers.conf": "[engine]\nhooks_dir = [\"/old\"]\n"})
	h.install(Target{}, h.options())
	h.check(os.Remove(h.path("/etc/containers/containers.conf")))
	changes := h.install(Target{}, h.options())
	h.same("last change", changes[len(changes)-1], "unmerged "+dropIn+" "+PodmanHooks)
	h.write("/etc/containers/containers.conf", "[engine]\n")
	h.install(Target{}, h.options())
	want := `hooks_dir = ["` + SystemHooks + `", "` + PodmanHooks + `"]`
	if text := h.read(dropIn); !strings.Contains(text, want) {
		t.Errorf("no %s in %s", want, text)
	}
}

func TestUnchanged(t *testing.T) {
	const body = "[engine]\nhooks_dir = [\"/a\"]\n"
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"as it was written":    {head(body) + body, true},
		"another directory":    {head(body) + "[engine]\nhooks_dir = [\"/b\"]\n", false},
		"a line more":          {head(body) + body + "# mine\n", false},
		"without a first line": {body, false},
		"the first line alone": {strings.TrimSuffix(head(body), "\n"), false},
		"no line":              {strings.TrimSuffix(head(""), "\n"), false},
		"empty":                {"", false},
	} {
		if got := unchanged([]byte(test.text)); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
