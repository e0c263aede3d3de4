# Two commands do everything on a fresh Debian 12 machine with Go: make demo, make test.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
# a directory in the place of the one that install chooses
HOOKSDIR ?=
# podman, crio or containerd alone
ENGINE  ?=
VERSION ?=
PLACES   = --bin-dir $(PREFIX)/bin $(if $(HOOKSDIR),--hooks-dir $(HOOKSDIR)) $(if $(DESTDIR),--destdir $(DESTDIR)) $(if $(ENGINE),--engine $(ENGINE))

export CGO_ENABLED = 0

.PHONY: build packages test-packages demo test unit cve faults faults-long soak soak-long fuzz fuzz-long mutants race-long engines systemd test-hosts test-trixie bench vulncheck lint install uninstall clean

build:
	$(GO) build -trimpath -ldflags '-s -w -X main.release=$(VERSION)' -o bin/gpu-hook ./cmd/gpu-hook

# .deb and .rpm in bin/packages, with an SBOM each. The same commit and VERSION make the same bytes.
packages:
	test/setup packages
	GO=$(GO) $(if $(VERSION),VERSION=$(VERSION)) packages/build

# Runs real containers on a synthetic GPU host and shows what each gets.
demo: build
	test/setup demo
	$(GO) run ./test/demo

test: unit fuzz engines systemd cve faults soak

# They have targets of their own, which print what they find.
LOADS = ^(TestFaults|TestSoak|TestSoakAtOnce)$$

unit:
	test/setup test
	GPU_HOOK_RACE_SCALE=5 $(GO) test -p 1 -count=1 -skip '$(LOADS)' $$($(GO) list ./... | grep -v -e /test/engines -e /test/systemd -e /test/cve)

# Attacks as published vulnerabilities were exploited. In its own directory, go test shows the table that it prints.
cve:
	test/setup test
	cd test/cve && $(GO) test -count=1 -timeout 20m

# Fails system calls of the apply phase and kills the process at them, every tenth of all that can happen, and prints the
# table. faults-long tries all.
faults:
	test/setup test
	$(GO) test -count=1 -v -parallel 4 -timeout 30m -run '^TestFaults$$' ./test/holder

faults-long:
	test/setup test
	GPU_HOOK_FAULTS=1 $(GO) test -count=1 -v -parallel 4 -timeout 0 -run '^TestFaults$$' ./test/holder

# Starts 500 containers in a row and 200 at once, and prints what there is before and after. soak-long: 10,000 in a row.
soak:
	test/setup test
	$(GO) test -count=1 -v -timeout 30m -run '^TestSoak' ./test/holder

STARTS ?= 10000
soak-long:
	test/setup test
	GPU_HOOK_SOAK=$(STARTS) $(GO) test -count=1 -v -timeout 0 -run '^TestSoak' ./test/holder

# Races every operation in a root filesystem, 18 million times, and the whole hook 45,000 times; or until TIME is over,
# which each of the three parts has: TIME=3m.
SCALE ?= 900
TIME  ?=
race-long:
	test/setup test
	GPU_HOOK_RACE_SCALE=$(SCALE) GPU_HOOK_RACE_TIME=$(TIME) $(GO) test -count=1 -v -timeout 0 -run 'TestRaces' \
		./devices/inject ./test/holder

JOBS ?= 2
# Takes guards out of the code, one at a time, and prints those whose absence no test notices. Not a part of test.
mutants:
	test/setup test
	$(GO) run ./test/mutants -j $(JOBS)

# Every fuzz target for a moment; the inputs in testdata/fuzz and the seeds are a part of unit.
FUZZTIME ?= 3s
fuzz:
	test/setup test
	FUZZTIME=$(FUZZTIME) test/fuzz

# For hours: each target for FUZZTIME, and a panic in each function that a start calls, where the other tests try a share.
fuzz-long:
	test/setup test
	FUZZTIME=$(if $(filter command line,$(origin FUZZTIME)),$(FUZZTIME),10m) test/fuzz
	GPU_HOOK_LONG=1 $(GO) test -count=1 -timeout 1h -v -run TestPanics ./test/holder

# The tests with real engines run once for each version of the control groups. A host of version 2 has no version 1 to give.
engines:
	test/setup test
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo "cgroup version 1 is not tested: this host has version 2 alone"; \
	else GPU_HOOK_CGROUP=1 $(GO) test -count=1 ./test/engines; fi
	if [ "$$(id -u)" = 0 ]; then export GPU_HOOK_CGROUP=2; exec test/with-cgroup2 $(GO) test -count=1 ./test/engines; fi

# Real containers under a real systemd, which runs in an overlay and namespaces of its own.
systemd:
	test/setup test
	$(GO) test -count=1 ./test/systemd

# Every broken host of test/hosts, with runc and with crun, and the table of what came of them: docs/hosts.md. A few of them
# are a part of test.
test-hosts:
	test/setup test
	GPU_HOOK_HOSTS=$(CURDIR)/bin/hosts.txt $(GO) test -count=1 -parallel 4 -timeout 30m ./test/hosts $(UPDATE); \
		status=$$?; cat bin/hosts.txt; exit $$status

# The tests with real engines once more, in a Debian 13 that is made in bin: podman 5 and a newer crun. Not a part of test.
test-trixie:
	test/setup test
	test/trixie

# The packages: built twice and compared, then installed, used, upgraded and removed in a Debian 12 that is made in bin. Not
# a part of test.
test-packages:
	test/setup packages
	test/packages/run

# What gpu-hook costs at a container's start, beside what else does such work: docs/performance.md. ROUNDS=15 is quick.
ROUNDS ?= 60
bench:
	test/setup bench
	for program in cmd/gpu-hook test/bench/empty test/bench/gofloor test/bench/start test/bench; do \
		$(GO) build -trimpath -ldflags '-s -w' -o bin/bench/$$(basename $$program) ./$$program || exit 1; done
	gcc -O2 -Wall -static -o bin/bench/floor test/bench/floor/floor.c
	bin/bench/bench -n $(ROUNDS)

# Known vulnerabilities in what gpu-hook calls of its modules. It needs the database on the Internet: not a part of test.
vulncheck:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./cmd/gpu-hook

lint:
	test/setup lint
	bin/tools/golangci-lint run ./...

install: build
	bin/gpu-hook install $(PLACES)

uninstall:
	$(DESTDIR)$(PREFIX)/bin/gpu-hook uninstall $(PLACES)

clean:
	rm -rf bin
