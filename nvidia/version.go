package nvidia

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// version is a version of up to three numbers. Those that are left out are 0.
type version [3]uint64

// compare returns -1, 0 or 1 if v is older than, equal to or newer than o.
func (v version) compare(o version) int { return slices.Compare(v[:], o[:]) }

// String returns major.minor, as CUDA versions are written.
func (v version) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// parseVersion reads a version such as "12.4", "535.104.05" or "v8". NVIDIA's tools take no more than three numbers.
func parseVersion(text string) (version, error) {
	var v version
	parts := strings.Split(strings.TrimPrefix(text, "v"), ".")
	if len(parts) > len(v) {
		return v, fmt.Errorf("version %q has more than three parts", text)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return v, fmt.Errorf("version %q is not of the form 1.2.3", text)
		}
		v[i] = n
	}
	return v, nil
}

// branch is a driver branch and the CUDA version that its drivers support.
type branch struct {
	driver uint64
	cuda   version
}

// branches returns NVIDIA's driver branches for data centres and desktops, oldest first (CUDA Toolkit release notes,
// "CUDA Toolkit and Corresponding Driver Versions").
func branches() []branch {
	return []branch{
		{331, version{6, 0}},
		{340, version{6, 5}},
		{346, version{7, 0}},
		{352, version{7, 5}},
		{367, version{8, 0}},
		{375, version{8, 0}},
		{384, version{9, 0}},
		{387, version{9, 1}},
		{390, version{9, 1}},
		{396, version{9, 2}},
		{410, version{10, 0}},
		{418, version{10, 1}},
		{440, version{10, 2}},
		{450, version{11, 0}},
		{455, version{11, 1}},
		{460, version{11, 2}},
		{465, version{11, 3}},
		{470, version{11, 4}},
		{495, version{11, 5}},
		{510, version{11, 6}},
		{515, version{11, 7}},
		{520, version{11, 8}},
		{525, version{12, 0}},
		{530, version{12, 1}},
		{535, version{12, 2}},
		{545, version{12, 3}},
		{550, version{12, 4}},
		{555, version{12, 5}},
		{560, version{12, 6}},
		{565, version{12, 7}},
		{570, version{12, 8}},
		{575, version{12, 9}},
		{580, version{13, 0}},
		{590, version{13, 1}},
	}
}

// Driver is the NVIDIA driver that the host has loaded, as far as it is known.
type Driver struct {
	Version string // "" if it is not known
	number  version
	// The CUDA version that it supports lies between these two. newest is nil for a branch newer than the table.
	cuda   version
	newest *version
}

// ReadDriver reads the version of the loaded driver from a file with the format of /sys/module/nvidia/version. If the
// file is missing or does not hold a version, the driver is not known, which is not an error.
func ReadDriver(path string) Driver {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return Driver{}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(linux.NoWait(file), 64))
	if err != nil {
		return Driver{}
	}
	d, err := ParseDriver(strings.TrimSpace(string(text)))
	if err != nil {
		return Driver{}
	}
	return d
}

// ParseDriver returns the driver of this version. A driver older than any known branch is an error.
func ParseDriver(text string) (Driver, error) {
	number, err := parseVersion(text)
	if err != nil {
		return Driver{}, err
	}
	known := branches()
	i, found := slices.BinarySearchFunc(known, number[0], func(b branch, n uint64) int { return cmp.Compare(b.driver, n) })
	d := Driver{Version: text, number: number}
	switch {
	case found:
		d.cuda, d.newest = known[i].cuda, &known[i].cuda
	case i == 0:
		return Driver{}, errors.New("the driver is older than any that is known")
	case i < len(known):
		d.cuda, d.newest = known[i-1].cuda, &known[i].cuda
	default:
		d.cuda = known[i-1].cuda
	}
	return d, nil
}

// WithCUDA returns d with the CUDA version of o. An image's compatibility libraries have that effect.
func (d Driver) WithCUDA(o Driver) Driver {
	d.cuda, d.newest = o.cuda, o.newest
	return d
}

// CUDA returns the CUDA version that the driver supports, for messages.
func (d Driver) CUDA() string {
	switch {
	case d.Version == "":
		return "not known"
	case d.newest == nil:
		return d.cuda.String() + " or newer"
	case *d.newest != d.cuda:
		return d.cuda.String() + " to " + d.newest.String()
	}
	return d.cuda.String()
}
