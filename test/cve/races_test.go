package cve

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/race"
)

// raceStarts is how often each race is run, in each venue and with each resolver.
const raceStarts = 4

// raceAttacks are those by a process that moves paths about while gpu-hook works. How often a program
// that is not careful loses these, the races of devices/inject and test/holder count.
func raceAttacks() []attack {
	return []attack{
		{
			number: "S07", title: "CVE-2025-23359: compatibility directory and a link are swapped", want: either,
			starts: raceStarts, check: onlyTheSpecsMounts,
			plant: func(s *scene) {
				s.image("/usr/local/cuda/compat/libcuda.so.1", "the image's", 0o644)
				s.symlink(s.outside("libs"), "/usr/local/cuda/swap")
			},
			during: func(s *scene) func() {
				return race.Exchange([2]string{s.rootfs("/usr/local/cuda/compat"), s.rootfs("/usr/local/cuda/swap")})
			},
		},
		{
			number: "S10", title: "CVE-2026-24260: directories of mounts and nodes are swapped with links out", want: either,
			starts: raceStarts,
			spec: mountOn("/opt/a/b/library") +
				"\n- {hostPath: HOST/lib, containerPath: /opt/a/directory, options: [ro, bind]}\n" + nodeOn("/opt/a/gpu0"),
			plant: func(s *scene) {
				s.must(os.MkdirAll(s.rootfs("/opt/a/b"), 0o755))
				s.must(os.MkdirAll(s.rootfs("/opt/c"), 0o755))
				s.symlink(s.outside("empty"), "/opt/a/swap")
				s.symlink(s.outside("empty"), "/opt/swap")
			},
			during: func(s *scene) func() {
				return race.Exchange([2]string{s.rootfs("/opt/a/b"), s.rootfs("/opt/a/swap")},
					[2]string{s.rootfs("/opt/a"), s.rootfs("/opt/swap")})
			},
		},
		{
			number: "S16", title: "CVE-2021-30465: target on a volume that another container moves about", want: either,
			starts: raceStarts,
			spec:   mountOn("/volume/a/library"),
			edit: func(b *gpuhost.Bundle) {
				b.Edit = func(config map[string]any) {
					mounts, _ := config["mounts"].([]any)
					config["mounts"] = append(mounts, map[string]any{
						"destination": "/volume", "type": "bind", "source": "VOLUME", "options": []any{"bind"},
					})
				}
			},
			plant: func(s *scene) {
				s.must(os.MkdirAll(s.rootfs("/volume"), 0o755))
				s.must(os.MkdirAll(s.volume("a"), 0o755))
				s.must(os.MkdirAll(s.volume("b"), 0o755))
				s.must(os.WriteFile(s.volume("a/library"), nil, 0o644))
				s.must(os.Symlink(s.outside("empty"), s.volume("swap")))
				s.shape = append(s.shape, "GPU_HOOK_TEST_VOLUME="+s.volume(""))
				s.configure("VOLUME", s.volume(""))
			},
			during: func(s *scene) func() {
				stop := race.Exchange([2]string{s.volume("a"), s.volume("swap")})
				return func() {
					stop()
					// What is on the volume is where it was, or its links would look changed.
					if info, err := os.Lstat(s.volume("a")); err == nil && !info.IsDir() {
						s.must(unix.Renameat2(unix.AT_FDCWD, s.volume("a"), unix.AT_FDCWD, s.volume("swap"), unix.RENAME_EXCHANGE))
					}
				}
			},
		},
	}
}

// volume is a path on the volume, by the host's name.
func (s *scene) volume(path string) string { return filepath.Join(s.Host.Path("run/volume"), path) }
