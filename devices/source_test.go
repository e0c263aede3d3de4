package devices

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// TestSources compares sources with EvalSymlinks.
func TestSources(t *testing.T) {
	top := hostTree(t)
	for link, target := range map[string]string{
		"dirlink": "rootfs/lib", "rootlink": "/", "twice": "dirlink/f", "dangling": "nowhere/at/all", "rootfs/up": "..",
	} {
		if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	s := newSources(trust.Root())
	for range 2 { // once with directories that are known
		for _, path := range []string{
			"/", "@", "@/", "@/lib", "@/lib/", "@/lib/x", "@//rootfs///lib/f", "@/rootfs/lib/.", "@/rootfs/lib/..",
			"@/liblink", "@/inlink", "@/dirlink", "@/dirlink/", "@/dirlink/f", "@/dirlink/../lib", "@/dirlink/./f", "@/twice",
			"@/dangling", "@/dangling/x", "@/none", "@/none/x", "@/loop", "@/loop/x", "@/rootlink", "@/rootlink/etc",
			"@/rootfs/up", "@/rootfs/up/lib", "@/rootfs/up/../..", "/proc/self", "/proc/self/status",
		} {
			path = in(top, &Edits{Mounts: []*Mount{{HostPath: path}}}).Mounts[0].HostPath
			want, wantErr := filepath.EvalSymlinks(path)
			got, err := s.resolve(path)
			missing, wantMissing := errors.Is(err, fs.ErrNotExist), errors.Is(wantErr, fs.ErrNotExist)
			if got != want || (err == nil) != (wantErr == nil) || missing != wantMissing {
				t.Errorf("%s: %q, %v; not %q, %v", path, got, err, want, wantErr)
			}
		}
	}
}

// A link leads only where root or the one who asks has made it lead. Whose the directories are is no matter.
func TestSourcesLinks(t *testing.T) {
	top := hostTree(t)
	err := errors.Join(
		os.Mkdir(top+"/theirs", 0o755), os.Chown(top+"/theirs", 1000, 1000),
		os.WriteFile(top+"/theirs/file", nil, 0o600), os.Symlink("../lib", top+"/theirs/ours"),
		os.Symlink("file", top+"/theirs/link"), os.Symlink("..", top+"/theirs/up"), os.Symlink("theirs/link", top+"/to"),
	)
	for _, link := range []string{"link", "up"} {
		err = errors.Join(err, os.Lchown(top+"/theirs/"+link, 1000, 1000))
	}
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/theirs": true, "/theirs/file": true, "/theirs/ours": true,
		"/theirs/link": false, "/theirs/up/lib": false, "/to": false, "/theirs/up/.": false,
	} {
		_, err := newSources(trust.Root()).resolve(top + path)
		if (err == nil) != want || err != nil && !errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := newSources(trust.Owner{UID: 1000}).resolve(top + path); err != nil {
			t.Errorf("%s, for the one whose it is: %v", path, err)
		}
	}
}
