package main

import "slices"

// mutants returns the guards that a test must miss, room by room.
func mutants() []mutant {
	return slices.Concat(processMutants(), kernelMutants(), pathMutants(), nodeMutants(), mountMutants(), groundMutants(),
		programMutants(), undoMutants(), netMutants(), ruleMutants(), stateMutants(), trustMutants(), planMutants())
}

// processMutants are guards of the process itself.
func processMutants() []mutant {
	return []mutant{
		{
			"descriptors that the runtime left open are closed to programs", "cmd/gpu-hook/main.go",
			"unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)", "unix.CloseRange(900, 901, unix.CLOSE_RANGE_CLOEXEC)",
			"test/holder", "TestInheritedDescriptors",
		},
		{
			"a pipe that nobody reads does not end the process half way", "cmd/gpu-hook/create_runtime.go",
			"\tcatchPipe()\n", "", "test/holder", "TestRefusalThatNobodyReads",
		},
		{
			"the main thread never joins a container", "cmd/gpu-hook/main.go",
			"\truntime.LockOSThread()\n", "\t_ = runtime.NumCPU()\n", "test/holder", "TestMainThreadStaysOnTheHost",
		},
		{
			"a panic ends in status 1", "cmd/gpu-hook/main.go",
			"err := fault.Guard(func() error { return dispatch(args, p) })", "err := dispatch(args, p)", "cmd/gpu-hook", "TestPanicIsAFailure",
		},
		{
			"a file is not taken for what its size says", "cmd/gpu-hook/early/files.go",
			"\tif int64(n) != st.Size {", "\tif n > 1<<30 {", "cmd/gpu-hook/early", "TestFileLargerThanItsSize",
		},
		{
			"a signal undoes what was made", "cmd/gpu-hook/create_runtime.go",
			"unix.SIGTERM, unix.SIGINT, unix.SIGHUP)", "unix.SIGUSR2)",
			"test/holder", "TestSignalWhileAHookRuns",
		},
		{
			"a record's id with ../ is no file name", "hook/report/record.go",
			` && strings.Trim(id, allowed) == ""`, ` && allowed != ""`, "hook/report", "TestRecordsStayInTheirDirectory",
		},
		{
			"a record's id does not begin with a dot", "hook/report/record.go",
			`id != "" && id[0] != '.' && `, `id != "" && `, "hook/report", "TestRecordsStayInTheirDirectory",
		},
		{
			"the directory of records is this user's alone", "hook/report/record.go",
			"if err := trust.PrivateDir(dir, 0o700); err != nil {", "if err := os.MkdirAll(dir, 0o700); err != nil {",
			"hook/report", "TestRecordsDirectoryIsOurs",
		},
		{
			"the directory above that of records is this user's alone", "hook/report/record.go",
			"if err := trust.PrivateDir(runDir, 0o755); err != nil {", "if err := os.MkdirAll(runDir, 0o755); err != nil {",
			"hook/report", "TestRecordsArePrivate",
		},
		{
			"a record is not read from a directory of others", "hook/report/find.go",
			"if err := trust.CheckPrivate(d); err != nil && !errors.Is(err, fs.ErrNotExist) {",
			"if err := trust.CheckPrivate(d); err != nil && d == \"\" {", "hook/report", "TestRecordsArePrivate|TestLast",
		},
		{
			"a long record is cut", "hook/report/record.go",
			"if data, err = json.Marshal(r.short()); err != nil {", "if data, err = json.Marshal(r); err != nil {",
			"hook/report", "TestLongRecords",
		},
		{
			"records are bounded", "hook/report/record.go",
			"return prune(dir, keep, r.Container.ID, name)", "return nil", "hook/report", "TestKeepAndLast|TestPrune",
		},
	}
}

// kernelMutants are guards of the wrappers of system calls.
func kernelMutants() []mutant {
	const root, files = "internal/linux/root.go", "internal/linux/files.go"
	const both = "unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS"
	return []mutant{
		{"lookups stay in the root", root, both, "unix.RESOLVE_NO_MAGICLINKS", "internal/linux", "TestOpenInRoot"},
		{"lookups follow no magic link", root, both, "unix.RESOLVE_IN_ROOT", "internal/linux", "TestOpenInRootRefusesMagicLinks"},
		{"handles of lookups are not inherited", root, "unix.O_PATH | unix.O_CLOEXEC", "unix.O_PATH", "internal/linux", "TestOpenInRoot"},
		{
			"without openat2 the other resolver is asked", root,
			"case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):", "case errors.Is(err, unix.EPERM):",
			"internal/linux", "TestResolver",
		},
		{
			"a raced lookup is repeated", "internal/linux/retry.go",
			"errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EXDEV)", "errors.Is(err, unix.EAGAIN)",
			"internal/linux", "TestUntilAnswered",
		},
		{
			"an interrupted call is repeated", "internal/linux/retry.go",
			"!errors.Is(err, unix.EINTR)", "!errors.Is(err, unix.ENOTTY)", "internal/linux", "TestUntilAnswered",
		},
		{"opened files are not inherited", files, "flags|unix.O_CLOEXEC, mode)", "flags, mode)", "internal/linux", "TestNothingIsInherited"},
		{"duplicates are not inherited", files, "unix.F_DUPFD_CLOEXEC", "unix.F_DUPFD", "internal/linux", "TestNothingIsInherited"},
		{
			"files from the shelf are not inherited", "internal/linux/shelf.go",
			"unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC", "unix.MSG_DONTWAIT", "internal/linux", "TestNothingIsInherited",
		},
		{
			"the shelf is not inherited", "internal/linux/shelf.go",
			"unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC", "unix.SOCK_SEQPACKET", "internal/linux", "TestNothingIsInherited",
		},
		{
			"clones of mounts are not inherited", "internal/linux/mounts.go",
			"hostPath, flags|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC", "hostPath, flags|unix.OPEN_TREE_CLONE", "internal/linux", "TestNothingIsInherited",
		},
		{
			"new filesystems are not inherited", "internal/linux/mounts.go",
			"unix.FSMOUNT_CLOEXEC, 0)", "0, 0)", "internal/linux", "TestNothingIsInherited",
		},
		{
			"metadata by name is not that of a link's target", files,
			"&st, unix.AT_SYMLINK_NOFOLLOW)", "&st, 0)", "devices/inject", "TestNodeThatIsSwapped",
		},
	}
}

// pathMutants are guards of what is made in the root filesystem.
func pathMutants() []mutant {
	const paths, inject = "devices/inject/path.go", "devices/inject/inject.go"
	return []mutant{
		{
			"a made directory is not a link by now", paths,
			"unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW", "unix.O_PATH|unix.O_DIRECTORY",
			"devices/inject", "TestMadeDirectoryThatIsSwapped",
		},
		{
			"a file is made, or what is there is looked up in the root", paths,
			"unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_WRONLY", "unix.O_CREAT|unix.O_WRONLY",
			"devices/inject", "TestFileThatIsThere",
		},
		{
			"a created file that is swapped is not used", paths,
			"\tr.record(dir, name, false)\n\treturn target{File: created, site: dir.site}, nil",
			"\tr.record(dir, name, false)\n\t_ = created.Close()\n\tif created, err = r.another(unsafePath); err != nil {\n" +
				"\t\treturn target{}, err\n\t}\n\treturn target{File: created, site: dir.site}, nil",
			"devices/inject", "TestCreatedFileIsHeld",
		},
		{
			"a directory is made only on the container's ground", paths,
			"if err := r.ground.checkMake(at, unsafePath); err != nil {", "if at.mount < 0 {",
			"devices/inject", "TestForbiddenGround",
		},
		{
			"a file is made only on the container's ground", paths,
			"if err := r.ground.checkMake(dir.site, unsafePath); err != nil {", "if err := error(nil); err != nil {",
			"devices/inject", "TestForbiddenGround",
		},
		{
			"the root is not a link", inject, "unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC",
			"unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC", "devices/inject", "TestRootIsNoLink",
		},
		{
			"the root is the directory that the host sees", inject,
			"if !os.SameFile(info, seen) {", "if info == nil {", "devices/inject", "TestCheckRoot",
		},
		{
			"the root is a mount", inject,
			"if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {", "if st == nil {", "devices/inject", "TestCheckRoot",
		},
		{"modes do not depend on the umask", inject, "\t\tunix.Umask(0)\n", "", "test/holder", "TestGives"},
		{
			"files belong to the container's root", inject,
			"if err := become(r.user); err != nil {", "if err := error(nil); err != nil {", "test/holder", "TestFilesOfAUserNamespace",
		},
		{
			"who becomes the container's root keeps its rights", "devices/inject/thread.go",
			"return linux.RaiseCapabilities()", "return nil", "devices/inject", "TestBecome",
		},
		{
			"a mount's place is checked after it was attached", "devices/inject/mount.go",
			"if err == nil && id != s.id {", "if err != nil && id != s.id {",
			"devices/inject", "TestMountThatLandedElsewhere|TestMountOfTheSameFile",
		},
		{
			"a mount is looked up after it was attached", "devices/inject/mount.go",
			"return astray(r.verifyMount(s))", "return nil", "test/holder", "TestMountThatTheImageLeadsAstray",
		},
		{
			"a mount that went astray is never left out", "devices/inject/optional.go",
			"if note == nil || errors.As(err, &astrayError{}) {", "if note == nil {", "devices/inject", "TestLeaveOut",
		},
		{
			"one start at a time works on a root filesystem", "devices/inject/lock.go", "unix.LOCK_EX|unix.LOCK_NB", "unix.LOCK_SH|unix.LOCK_NB",
			"devices/inject", "TestLockOfTheRoot",
		},
		{
			"a mount's source is not a link by now", "devices/inject/mount.go", "source, err := linux.OpenResolved(hostPath)", "source, err := os.Open(hostPath)",
			"devices/inject", "TestCloneFollowsNoLink",
		},
		{
			"a directory is looked up again behind a mount", "devices/inject/mount.go",
			"\tif s.dir {\n\t\tclear(r.opened)\n\t}\n", "", "devices/inject", "TestDirectory",
		},
	}
}

// nodeMutants are guards of device nodes.
func nodeMutants() []mutant {
	const nodes = "devices/inject/node.go"
	return []mutant{
		{
			"no node is made where it cannot be opened", nodes,
			"\treturn s.usable()\n", "\treturn nil\n",
			"devices/inject", "TestNodeIsMadeWhereItCanBeOpened",
		},
		{
			"no node is made on a volume", nodes,
			"if err := r.ground.checkMake(s, d.Path); err != nil {", "if err := error(nil); err != nil {",
			"devices/inject", "TestForbiddenGround",
		},
		{
			"no node is bound where the host sees it", nodes,
			"if err := r.ground.checkMount(on.site, d.Path); err != nil {", "if err := error(nil); err != nil {",
			"devices/inject", "TestForbiddenGround",
		},
		{
			"a node that is there is not a link", nodes,
			"existing, err := openat(dir.handle, name, unix.O_PATH|unix.O_NOFOLLOW)",
			"existing, err := openat(dir.handle, name, unix.O_PATH)", "devices/inject", "TestNodeThatIsThere",
		},
		{
			"a node that is there is the device", nodes,
			"return devices.Present, errors.Join(err, verifyNode(existing, d, false))", "return devices.Present, err",
			"devices/inject", "TestNodeThatIsThere",
		},
		{
			"a made node is looked at", nodes, "return checkNode(&st, d, true)", "_ = st\n\t\treturn nil",
			"devices/inject", "TestNodeThatIsSwapped",
		},
		{
			"a made node is looked at before it gets an owner", nodes,
			"if err := verifyNode(made, d, true); err != nil {", "if err := error(nil); err != nil {",
			"devices/inject", "TestNodeThatIsSwapped",
		},
		{
			"a bound node is looked at", nodes, "return astray(verifyNode(bound, d, false))", "return nil",
			"devices/inject", "TestBoundNodeThatWentAstray",
		},
		{
			"a node's type counts", nodes, "if st.Mode&unix.S_IFMT != typeBits(d) {", "if st == nil {",
			"devices/inject", "TestVerifyNode",
		},
		{
			"a node's number counts", nodes, `if d.Type != "p" && (major != d.Major || minor != d.Minor) {`,
			`if d.Type != "p" && major != d.Major {`, "devices/inject", "TestVerifyNode",
		},
		{
			"the mode of a node that we made counts", nodes, "ours && mode != uint32(d.FileMode.Perm())", "ours && mode == 1",
			"devices/inject", "TestVerifyNode",
		},
		{
			"a bound node has nosuid and noexec", nodes, "Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, ", "",
			"devices/inject", "TestBoundNodesAttributes",
		},
		{
			"a bound node is private", nodes, ", Propagation: unix.MS_PRIVATE}", "}",
			"devices/inject", "TestBoundNodesAttributes",
		},
		{
			"the host's node is not a link", nodes, "linux.OpenTree(d.HostPath, unix.AT_SYMLINK_NOFOLLOW)",
			"linux.OpenTree(d.HostPath, 0)", "devices/inject", "TestBoundNodeIsNoLink",
		},
		{
			"the host's node is the device", nodes, "err = errors.Join(verifyNode(tree, d, false), err, at.usable())",
			"err = errors.Join(err, at.usable())", "devices/inject", "TestCloneNode",
		},
		{
			"the host's node can be opened where it is", nodes, "err = errors.Join(verifyNode(tree, d, false), err, at.usable())",
			"_ = at\n\terr = errors.Join(verifyNode(tree, d, false), err)", "devices/inject", "TestCloneNode",
		},
		{
			"nodes of other mounts get no rule", "devices/inject/delegate.go",
			"if id, err := mountID(list); err != nil || id != mount {", "if id, err := mountID(list); err != nil || id < 0 {",
			"devices/inject", "TestNodesOnOtherMounts",
		},
		{
			"nodes of a /dev in the root filesystem itself get no rule", "devices/inject/delegate.go",
			"if id == r.ground.root || !r.ground.own(id) {", "if !r.ground.own(id) {", "devices/inject", "TestNodesOnOtherMounts|TestNodes",
		},
		{
			"nodes of a /dev that is not the container's own get no rule", "devices/inject/delegate.go",
			"if id == r.ground.root || !r.ground.own(id) {", "if id == r.ground.root {", "devices/inject", "TestNodesOnOtherMounts",
		},
		{
			"a /dev is not looked through for ever", "devices/inject/delegate.go",
			"if len(entries) > maxNodes {", "if len(entries) < 0 {", "devices/inject", "TestDevThatIsTooFull",
		},
		{
			"a /dev is not looked through at any depth", "devices/inject/delegate.go",
			"if depth > maxDepth || len(found) > maxNodes {", "if len(found) > maxNodes {", "devices/inject", "TestNodes",
		},
	}
}

// mountMutants are guards of mounts.
func mountMutants() []mutant {
	const mounts, tmpfs = "devices/inject/mount.go", "devices/inject/tmpfs.go"
	return []mutant{
		{
			"no mount reaches the host", mounts,
			"if err := r.ground.checkMount(target.site, s.ContainerPath); err != nil {", "if err := error(nil); err != nil {",
			"devices/inject", "TestForbiddenGround",
		},
		{
			"a mount's attributes are set before it is attached", mounts,
			"if err := errors.Join(s.identify(), s.setAttributes(attributes)); err != nil {",
			"if err := s.identify(); err != nil {", "test/holder", "TestMountOptions|TestRecursiveMounts",
		},
		{
			"bind takes no mounts below along", mounts, "tree, err = clone(cmp.Or(m.Source, m.HostPath), attributes.Recursive)",
			"tree, err = clone(cmp.Or(m.Source, m.HostPath), true)", "test/holder", "TestRecursiveMounts",
		},
		{
			"a tmpfs belongs to the container's root", tmpfs,
			`ours := []string{"uid=" + strconv.Itoa(user.UID), "gid=" + strconv.Itoa(user.GID)}`, "ours := []string{}",
			"devices/inject", "TestTmpfsOwner",
		},
		{
			"a tmpfs's owner is an id of the container", tmpfs, "if err == nil {\n\t\t\t\tid, err", "if err != nil {\n\t\t\t\tid, err",
			"devices/inject", "TestTmpfsOwner",
		},
	}
}

// groundMutants are guards of where something may be made.
func groundMutants() []mutant {
	const ground = "devices/inject/ground.go"
	return []mutant{
		{"nothing is made on a volume", ground, "if !g.own(s.mount) {", "if s.mount < 0 {", "devices/inject", "TestGround"},
		{
			"a filesystem of the host is not the container's own", ground, " && !g.host.has(filesystem)",
			" && g.host != nil && filesystem.major >= 0", "devices/inject", "TestGround",
		},
		{
			"a disk that the runtime mounts is not the container's own", ground, "known && g.its.memory[mount] && ", "known && ",
			"devices/inject", "TestGround",
		},
		{
			"nothing is made in a root that becomes an image", ground, "if g.sparesRoot && s.mount == g.root {",
			"if g.sparesRoot && s.mount < 0 {", "devices/inject", "TestGround",
		},
		{
			"nothing is mounted on a kernel's filesystem", ground,
			"func (g *ground) checkMount(s site, unsafePath string) error {\n\tif err := s.checkKernel(unsafePath); err != nil {",
			"func (g *ground) checkMount(s site, unsafePath string) error {\n\tif err := error(nil); err != nil {",
			"devices/inject", "TestGround",
		},
		{
			"nothing is made on a kernel's filesystem", ground,
			"func (g *ground) checkMake(s site, unsafePath string) error {\n\tif err := s.checkKernel(unsafePath); err != nil {",
			"func (g *ground) checkMake(s site, unsafePath string) error {\n\tif err := error(nil); err != nil {",
			"devices/inject", "TestGround",
		},
		{
			"the driver's procfs is the only exception", ground, `strings.HasPrefix(in, driver+"/")`, `strings.HasPrefix(in, driver)`,
			"devices/inject", "TestInDriver",
		},
		{
			"the driver's procfs is where a path leads", ground, "if !s.kernel || s.driver {", "if !s.kernel || s.driver || unsafePath != \"\" {",
			"devices/inject", "TestKernelFilesystems",
		},
		{"sysfs is the kernel's", ground, "unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, ", "unix.PROC_SUPER_MAGIC, ", "devices/inject", "TestEveryKernelFilesystem"},
		{"cgroup2 is the kernel's", ground, "unix.CGROUP2_SUPER_MAGIC,\n", "\n", "devices/inject", "TestEveryKernelFilesystem"},
		{"bpf is the kernel's", ground, ", unix.BPF_FS_MAGIC:", ":", "devices/inject", "TestEveryKernelFilesystem"},
		{
			"a shared mount is compared with the host's", ground, "if host == group {", "if host == group+group {", "devices/inject", "TestGround",
		},
	}
}

// programMutants are guards of programs that are not ours.
func programMutants() []mutant {
	const command, hooks = "devices/inject/command.go", "devices/inject/hooks.go"
	return []mutant{
		{
			"nsenter is trusted before it is run", hooks,
			"if err := t.Owner.Executable(NSEnter); err != nil {", "if err := error(nil); err != nil {",
			"devices/inject", "TestNSEnterMustBeTrusted",
		},
		{
			"hooks of the container's stage run in /", hooks, "\tc.dir = \"/\"\n", "", "test/holder", "TestHookRunsInTheRootDirectory",
		},
		{
			"no hook joins the container's pid namespace", hooks,
			`[]string{"net", "ipc", "uts", "cgroup", "mnt"}`, `[]string{"net", "ipc", "uts", "cgroup", "pid", "mnt"}`,
			"devices/inject", "TestPidNamespaceIsNotJoined",
		},
		{
			"a namespace of ours is not joined", hooks, "if err != nil || same {", "if err != nil || same && err != nil {",
			"devices/inject", "TestNamespacesOfOursAreNotJoined",
		},
		{
			"a hook without variables does not get ours", command, "cmd.Env = append([]string{}, c.env...)", "cmd.Env = c.env",
			"devices/inject", "TestRun",
		},
		{
			"a hook that has no PATH gets one", hooks, "return append([]string{searchPath}, env...)", "return env",
			"devices/inject", "TestEnvironment",
		},
		{
			"a program has a process group of its own", command, "Setpgid: true, ", "", "devices/inject", "TestRunKillsTheGroup",
		},
		{
			"a program dies with us", command, ", Pdeathsig: unix.SIGKILL", "", "devices/inject", "TestProgramDiesWithUs",
		},
		{
			"a program is killed with all that it started", command,
			"unix.Kill(-cmd.Process.Pid, unix.SIGKILL)", "unix.Kill(cmd.Process.Pid, unix.SIGKILL)",
			"devices/inject", "TestRunKillsTheGroup",
		},
		{
			"a program's output is bounded", command, "if over := len(t.kept) - maxOutput; over > 0 {",
			"if over := len(t.kept) - maxOutput; over < 0 {", "devices/inject", "TestTail",
		},
		{
			"a program's timeout ends it", command, "if c.timeout > 0 {", "if c.timeout < 0 {", "devices/inject", "TestRun",
		},
		{
			"no hook runs for a container that has ended", "devices/inject/inject.go",
			"\tif err := t.Process.Alive(); err != nil {\n\t\treturn err\n\t}\n\tif err := t.runHooks",
			"\tif err := t.runHooks", "test/holder", "TestContainerThatEndsBeforeTheHooks",
		},
		{
			"a wish of a container that has ended opens nothing", "devices/inject/wish.go",
			"errors.Join(ended(ctx), t.Process.Alive())", "ended(ctx)", "devices/inject", "TestWishOfAContainerThatHasEnded",
		},
		{
			"a wish that is out of time opens nothing", "devices/inject/wish.go",
			"errors.Join(ended(ctx), t.Process.Alive())", "t.Process.Alive()", "devices/inject", "TestWishOfAContainerThatHasEnded",
		},
		{
			"the delegate's bundle is not made in a directory of others", "devices/inject/delegate.go",
			"if err := trust.PrivateDir(t.RunDir, 0o755); err != nil {",
			"if err := os.MkdirAll(t.RunDir, 0o755); err != nil && !errors.Is(err, trust.ErrUntrusted) {",
			"devices/inject", "TestRunDelegateInSomeonesDirectory|TestRunDelegateInALink",
		},
		{
			"the delegate's bundle is not made below a directory of others", "devices/inject/delegate.go",
			"if err := t.Owner.Dir(t.RunDir); err != nil {", "if err := error(nil); err != nil {",
			"devices/inject", "TestRunDelegateBelowSomeonesDirectory",
		},
		{
			"the delegate's bundle is removed", "devices/inject/delegate.go",
			"errors.Join(err, os.RemoveAll(dir))", "errors.Join(err, os.RemoveAll(dir+\"-\"))", "devices/inject", "TestRunDelegate",
		},
		{
			"no capability is inherited", command, "if err := linux.DropInheritable(); err != nil {",
			"if err := linux.Retry(func() error { return nil }); err != nil {", "devices/inject", "TestRunInheritsNoCapabilities",
		},
		{
			"an optional hook does not take all the time", "devices/inject/optional.go",
			"if timeout == 0 || half < timeout {", "if timeout != 0 && half < timeout {", "test/holder", "TestOptionalHookThatHangs",
		},
	}
}

// undoMutants are guards of undoing.
func undoMutants() []mutant {
	const journal = "devices/inject/journal.go"
	return []mutant{
		{
			"network devices come back", journal, "errors.Join(j.giveBack(), j.undoSince(0))", "j.undoSince(0)",
			"test/holder", "TestNetDeviceComesBackOnError",
		},
		{
			"what was made is removed", journal, "errors.Join(j.giveBack(), j.undoSince(0))", "j.giveBack()",
			"devices/inject", "TestUndo|TestUndoFollowsTheDirectory",
		},
		{
			"what was made is removed last first", journal, "range slices.Backward(j.made[mark:])", "range slices.All(j.made[mark:])",
			"test/holder", "TestFailingEditUndoesAll|TestBadMountsAreRefused",
		},
		{
			"what others made stays", journal, " && !errors.Is(err, unix.ENOTEMPTY)", "", "devices/inject", "TestUndo",
		},
		{
			"a wish's mounts are detached", "devices/inject/wish.go",
			"return errors.Join(t.detach(&r.journal), r.undo())", "return r.undo()", "test/holder", "TestFailedWishIsUndone",
		},
		{
			"no mount but ours is detached", "devices/inject/wish.go",
			"if err != nil || !there {\n\t\t\treturn err\n\t\t}\n",
			"if err != nil {\n\t\t\treturn err\n\t\t}\n\t\tif !there {\n\t\t\treturn unix.Unmount(mount.Name(), 0)\n\t\t}\n",
			"test/holder", "TestFailedWishIsUndone|TestFailedWishTakesNothingElse",
		},
		{
			"a wish that cannot be undone stops the start", "hook/apply.go", "case left != nil:", "case left != nil && err == nil:",
			"test/holder", "TestWishThatCannotBeUndone",
		},
		{
			"a start that is out of time fails", "devices/inject/inject.go", "\treturn ended(ctx)\n}\n\n// delegateOne", "\treturn nil\n}\n\n// delegateOne",
			"test/holder", "TestEndIsNoticedAtTheEnd",
		},
	}
}

// netMutants are guards of network devices.
func netMutants() []mutant {
	const netdev = "devices/inject/netdev.go"
	return []mutant{
		{
			"no device moves within the host", netdev, "if err == nil && !same {", "if err == nil && (same || !same) {",
			"test/holder", "TestSharedHostNetwork",
		},
		{
			"no device takes another's name in the container", netdev,
			"if err := d.inside(d.checkFree); err != nil {", "if err := error(nil); err != nil {",
			"test/holder", "TestSecondNetDeviceFails",
		},
		{
			"a device is marked before it moves", netdev, "if err := d.mark(link); err != nil {", "if err := error(nil); err != nil {",
			"test/holder", "TestNetDevice",
		},
		{
			"only permanent addresses move", netdev, "case permanent(&a):", "case !isAutoLinkLocal(&a):",
			"test/holder", "TestNetDevice",
		},
		{
			"addresses move", netdev, "if err := netlink.AddrReplace(link, &d.addresses[i]); err != nil {", "if err := error(nil); err != nil {",
			"test/holder", "TestNetDevice",
		},
		{
			"a device is set up", netdev, "if err := netlink.LinkSetUp(link); err != nil {", "if err := error(nil); err != nil {",
			"test/holder", "TestNetDevice",
		},
		{
			"the alias comes back", netdev, "errs := []error{d.configure(link, d.up), netlink.LinkSetAlias(link, d.alias)}",
			"errs := []error{d.configure(link, d.up)}", "test/holder", "TestNetDeviceComesBackOnError",
		},
		{
			"a device that was down comes back down", netdev, "d.configure(link, d.up), netlink", "d.configure(link, true), netlink",
			"test/holder", "TestNetDeviceComesBackOnError",
		},
		{
			"leased addresses come back", netdev, "for i := range d.leased {", "for i := range d.leased[:0] {",
			"test/holder", "TestNetDeviceComesBackOnError",
		},
		{
			"routes come back", netdev, "for _, r := range d.routes {", "for _, r := range d.routes[:0] {",
			"test/holder", "TestNetDeviceComesBackOnError",
		},
		{
			"a device that is not there is lost, unless it was moved before", netdev, "err == nil && status == devices.Failed",
			"err != nil && status == devices.Failed", "test/holder", "TestLostNetDevice",
		},
	}
}

// ruleMutants are guards of device rules.
func ruleMutants() []mutant {
	const v1, v2, own = "devices/rules/cgroup_v1.go", "devices/rules/cgroup_v2.go", "devices/rules/own_cgroup.go"
	const systemd, pin = "devices/rules/systemd.go", "devices/rules/pin.go"
	return []mutant{
		{
			"another cgroup's scope is left alone", systemd, "if policy.group != group {", "if policy.group == \"\" {",
			"devices/rules", "TestTellScope",
		},
		{
			"a scope without a list is left alone", systemd, "if !policy.lists() || len(missing) == 0 {", "if len(missing) == 0 {",
			"devices/rules", "TestTellScope",
		},
		{
			"what systemd was told is read back", systemd, "if still := policy.missing(rules); len(still) > 0 {",
			"if still := policy.missing(nil); len(still) > 0 {", "devices/rules", "TestTellScope",
		},
		{
			"a user's manager is not told", systemd, ` && !strings.Contains(group, "/user@")`, "", "devices/rules", "TestSystemScope",
		},
		{
			"systemd cannot hold a start up", systemd, "ctx, cancel := context.WithTimeout(ctx, systemdTimeout)",
			"ctx, cancel := context.WithCancel(ctx)", "devices/rules", "TestSilentBusWithoutADeadline",
		},
		{
			"a new entry keeps the permissions of the old one", systemd, "want := union(have, r.permissions)", "want := r.permissions",
			"devices/rules", "TestPolicyMissing",
		},
		{
			"a pin of other units stays", pin, "if path.Base(pin) != strings.ReplaceAll(path.Base(unit), \".\", \"_\") {",
			"if path.Base(pin) == \"\" || strings.Contains(unit, \"\\x00\") {", "devices/rules", "TestRepinOthers",
		},
		{
			"a pin of another kind of program stays", pin, "if pinned.Type() != ebpf.CGroupDevice {",
			"if pinned.Type() == ebpf.UnspecifiedProgram {", "devices/rules", "TestRepinOtherKinds",
		},
		{
			"a pin names the program that is attached", pin, "if replacement, ok := replaced[id]; ok {", "if replacement, ok := replaced[id+1]; ok {",
			"devices/rules", "TestRepin",
		},
		{
			"programs that others attach meanwhile are extended", v2, "if err != nil || !changed {", "if err != nil || changed || !changed {",
			"devices/rules", "TestProgramThatIsAttachedMeanwhile",
		},
		{
			"every program of a cgroup is extended", v2, "for _, id := range attached {", "for _, id := range attached[:min(1, len(attached))] {",
			"devices/rules", "TestAllowV2",
		},
		{
			"every cgroup of the container is extended", v2, "for _, dir := range own.dirs() {", "for _, dir := range own.dirs()[:1] {",
			"devices/rules", "TestAllowV2",
		},
		{
			"the kernel exchanges programs in one step", v2, ", Anchor: link.ReplaceProgram(old),", ",", "devices/rules", "TestAllowV2",
		},
		{
			"an extension allows one device", "devices/rules/extend.go",
			"\t\tasm.JNE.Imm(asm.R5, int32(r.minor), next), //nolint:gosec // minors have 20 bits\n", "",
			"devices/rules", "TestPrepend|TestAllowV2",
		},
		{
			"an extension allows what is asked of it", "devices/rules/extend.go",
			"\t\tasm.JNE.Imm(asm.R0, 0, next),\n", "", "devices/rules", "TestPrepend|TestAllowV2",
		},
		{
			"a cgroup above that denies fails the start", "devices/rules/ancestors.go", "case !ok:", "case !ok && err != nil:",
			"devices/rules", "TestCheckAbove|TestAllow",
		},
		{
			"our own cgroup is not the container's", own, `group == self[controller] || `, "self == nil || ", "devices/rules", "TestOurOwnCgroup",
		},
		{
			"a cgroup that others are in is not the container's", own, "err != nil || shared {\n\t\treturn ownGroup{}, err",
			"err != nil || shared && err != nil {\n\t\treturn ownGroup{}, err", "devices/rules", "TestSharedCgroup",
		},
		{
			"a cgroup is named by whole components", own, `strings.Contains(group+"/", "/"+unit+"/")`, `strings.Contains(group, unit)`,
			"devices/rules", "TestWithin",
		},
		{
			"a cgroup's path does not climb", "devices/rules/hierarchy.go", `!ok || slices.Contains(strings.Split(group, "/"), "..")`,
			`!ok && slices.Contains(strings.Split(group, "/"), "..")`, "devices/rules", "TestDir",
		},
		{
			"refused rules are taken back", v1, "restoreV1(own.unitDir, string(before), rules)", "restoreV1(own.unitDir, string(before), nil)",
			"devices/rules", "TestRefusedRulesAreTakenBack",
		},
		{
			"a listed rule has all permissions", v1, `if strings.Trim(r.permissions, f[2]) == "" {`, `if f[2] != "" {`, "devices/rules", "TestListed",
		},
		{
			"in a user namespace no rules are set", "devices/rules/allow.go", "if len(rules) == 0 || t.Namespaced {", "if len(rules) == 0 {",
			"devices/rules", "TestAllowNothing",
		},
		{
			"a node without permissions gets no rule", "devices/rules/rule.go", `|| r.permissions == "" `, "", "devices/rules", "TestRules",
		},
	}
}

// stateMutants are guards against a wrong state.
func stateMutants() []mutant {
	const process, root = "state/process.go", "state/root.go"
	return []mutant{
		{"no process of the host's first two", process, "if pid <= 1 {", "if pid < 0 {", "state", "TestOpenProcess"},
		{
			"only a container that is being created", process, "s != specs.StateCreating && s != specs.StateCreated",
			"s != specs.StateCreating && s == \"\"", "state", "TestOpenProcess",
		},
		{
			"only a child of this runtime", process, "if parent != os.Getppid() && !p.adopted(parent) {", "if parent < 0 && !p.adopted(parent) {",
			"state", "TestParentOfAContainer",
		},
		{
			"in a user namespace, only a child of the runtime's parent", process, "parent == monitor && parent > 1", "monitor > 1",
			"state", "TestParentOfAContainer",
		},
		{
			"not a child of init", process, "parent == monitor && parent > 1", "parent == monitor", "state", "TestChildOfInit",
		},
		{
			"without a user namespace, no other parent", process, "same, err := p.shares(\"user\")\n\tif err != nil || same {\n\t\treturn false\n",
			"same, err := p.shares(\"user\")\n\tif err != nil && same {\n\t\treturn false\n", "state", "TestParentOfAContainer",
		},
		{"not in our mount namespace", process, "\tif same {\n\t\treturn errMountNamespace(what)\n\t}\n", "\t_ = same\n", "test/holder", "TestProcessChecks"},
		{
			"a namespace is the process's own", process, "if err := p.Alive(); err != nil {\n\t\t_ = file.Close()", "if err := error(nil); err != nil {\n\t\t_ = file.Close()",
			"state", "TestProcessEnds",
		},
		{
			"a process that has ended is noticed", process, "case n > 0:", "case n > 1:", "state", "TestProcessEnds",
		},
		{
			"a container's root is not the host's", root, "if os.SameFile(info, host) {", "if os.SameFile(info, host) && resolved == \"\" {", "state", "TestRoot",
		},
		{"both roots are the same", root, "if stated != root {", "if stated == \"\" {", "state", "TestRoot"},
		{"a root is a directory", root, "if !info.IsDir() {", "if info == nil {", "state", "TestRoot"},
		{
			"a container has a mount namespace", root, "if !c.has(specs.MountNamespace) {", "if !c.has(specs.MountNamespace) && c == nil {",
			"state", "TestCheckNamespaces",
		},
		{
			"a state is bounded", "state/state.go", "case int64(len(data)) > limit:", "case int64(len(data)) < 0:", "state", "TestReadIsBounded|TestRead",
		},
	}
}

// trustMutants are guards of files that are believed or run.
func trustMutants() []mutant {
	const trust, private = "internal/trust/trust.go", "internal/trust/private.go"
	return []mutant{
		{
			"a directory on the way is root's", trust, "case !o.owns(st.Uid):\n\t\treturn fmt.Errorf(\"%s: %w: the directory is owned",
			"case !o.owns(st.Uid) && st == nil:\n\t\treturn fmt.Errorf(\"%s: %w: the directory is owned", "internal/trust", "TestOpenFile",
		},
		{
			"a directory on the way is not others' to write", trust, "case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:",
			"case st.Mode&0o022 != 0 && st == nil:", "internal/trust", "TestOpenFile",
		},
		{
			"a link on the way is root's", trust, "if !o.owns(next.Uid) {", "if next == nil {", "internal/trust", "TestOpenFile",
		},
		{
			"a trusted file is root's", trust, "case !o.owns(st.Uid):\n\t\treturn fmt.Errorf(\"%w: it is owned",
			"case !o.owns(st.Uid) && st == nil:\n\t\treturn fmt.Errorf(\"%w: it is owned", "internal/trust", "TestOpenFile",
		},
		{
			"a trusted file is not others' to write", trust, "case st.Mode&0o022 != 0:", "case st.Mode&0o002 != 0:", "internal/trust", "TestOpenFile",
		},
		{
			"a trusted file is a file", trust, "case st.Mode&unix.S_IFMT != unix.S_IFREG:", "case st == nil:", "internal/trust", "TestOpenFile",
		},
		{
			"a FIFO does not block", trust, "unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC",
			"unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC", "internal/trust", "TestFIFOIsNotWaitedFor",
		},
		{
			"a trusted path is absolute and clean", trust, "if !filepath.IsAbs(path) || filepath.Clean(path) != path {",
			"if !filepath.IsAbs(path) {", "internal/trust", "TestOpenFile",
		},
		{
			"links are bounded", trust, "if links++; links > maxLinks {", "if links++; links > 1000*maxLinks {", "internal/trust", "TestLinksAreBounded",
		},
		{
			"a program is executable", trust, "if info.Mode()&0o111 == 0 {", "if info == nil {", "internal/trust", "TestExecutable",
		},
		{
			"a program is not set-user-ID", trust, "if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {",
			"if info.Mode()&os.ModeSetgid != 0 {", "internal/trust", "TestExecutable",
		},
		{
			"a private directory is ours", private, "case int(st.Uid) != os.Getuid():", "case int(st.Uid) < 0:", "internal/trust", "TestPrivateDir",
		},
		{
			"a private directory is not others' to write", private, "case st.Mode&0o022 != 0:", "case st.Mode == 0:", "internal/trust", "TestPrivateDir",
		},
		{
			"a private directory is not a link", private, "unix.O_DIRECTORY|unix.O_NOFOLLOW", "unix.O_DIRECTORY", "internal/trust", "TestPrivateDir",
		},
	}
}

// planMutants are guards of what is planned.
func planMutants() []mutant {
	const mount, hook = "devices/edit_mount.go", "devices/edit_hook.go"
	return []mutant{
		{
			"a path in the container does not climb", mount, `case slices.Contains(strings.Split(p, "/"), ".."):`,
			`case slices.Contains(strings.Split(p, "/"), "..."):`, "devices", "TestCompleteRefuses",
		},
		{
			"nothing of the root filesystem is mounted", mount, `if h.inRoot(resolved) {`,
			`if h.inRoot("/nowhere") {`, "devices", "TestCompleteRefuses",
		},
		{
			"the root filesystem ends at a component", "devices/edit.go", `strings.HasPrefix(resolved+"/", h.root+"/")`,
			`strings.HasPrefix(resolved, h.root)`, "devices", "TestCompleteAccepts",
		},
		{
			"the host's root is not mounted by a link", mount, `if resolved == "/" {`, `if resolved == "" {`, "devices", "TestCompleteRefuses",
		},
		{
			"a hook of a Spec is trusted", hook, "err := owner.Executable(h.Path)", "err := owner.Executable(\"/bin/sh\")",
			"devices", "TestCompleteRefuses",
		},
		{
			"no program of the root filesystem is a hook", hook, "if on.inRoot(resolved) {", "if on.inRoot(\"/nowhere\" + resolved) {", "devices", "TestCompleteRefuses",
		},
		{
			"an unknown key of the configuration is an error", "hook/config/load.go", "len(unknown) > 0", "len(unknown) > 1000",
			"hook/config", "TestParseRefuses",
		},
		{
			"the configuration is trusted", "hook/config/load.go", "file, err := owner.OpenFile(path)", "file, err := os.Open(path)",
			"hook/config", "TestConfigurationOfOthers",
		},
	}
}
