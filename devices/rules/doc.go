// Package rules lets a container that is being created use its devices. It extends the device rules of the container's
// own cgroup, of version 1 and of version 2, and those of its systemd scope. It changes nothing else of the container,
// and no cgroup that is not the container's own.
package rules
