package devices

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestSources compares sources with EvalSymlinks, by the error's text too.
func TestSources(t *testing.T) {
	top := hostTree(t)
	for link, target := range map[string]string{
		"dirlink": "rootfs/lib", "rootlink": "/", "twice": "dirlink/f", "dangling": "nowhere/at/all", "rootfs/up": "..",
	} {
		if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	s := &sources{dirs: map[string]string{}}
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
			if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("%s: %q, %v; not %q, %v", path, got, err, want, wantErr)
			}
		}
	}
}
