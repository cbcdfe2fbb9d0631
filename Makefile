# The menu. `make` alone prints it.
SHELL := /bin/bash
DATA ?= /var/lib/windlass-dev
PORT ?= 8080
SECONDS ?= 30
VERSIONS ?= 12 13
TARGET ?=
SUITE ?=

.PHONY: help run test soak git-large setup build check clean bench chaos fuzz audit clients deb conformance test-vm api idle

help: ## print this menu
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: ## install what is missing, build, start the platform on loopback, push the demo tool
	@tools/run.sh "$(DATA)" "$(PORT)"

test: ## install what is missing, run every test of the default lane
	@tools/test.sh

soak: ## two hundred pushes of two tools by four clients at once; prints what came of them
	@WINDLASS_TEST_BASE=$$(tools/base.sh) && export WINDLASS_TEST_BASE && cargo build --workspace --bins && \
		WINDLASS_PUSHES=200 cargo test -p windlass-e2e --test many_pushes -- --nocapture

git-large: ## pushes of a million files, a million refs, 5 GiB, and of bombs; prints what they took (minutes, 6 GB of disk)
	@WINDLASS_TEST_BASE=$$(tools/base.sh) && export WINDLASS_TEST_BASE && cargo build --workspace --bins && \
		cargo run -p windlass-e2e --example git_large

idle: ## thousands of idle connections to the router: what they cost, and who is held up
	@WINDLASS_IDLE=20000 cargo test -p windlass-router --lib -- --nocapture thousands_of_idle

setup: ## install what is missing from Debian
	@tools/setup.sh

build: ## compile the whole workspace
	@cargo build --workspace

check: ## formatting and lints
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings

clean: ## end the platform of make run and remove its data, mounts, rules and ranges
	@tools/clean.sh "$(DATA)"

bench: ## measure the platform, beside peers where there are some (ONLY=pack; bench/README.md says how to steer it)
	@tools/bench.sh

chaos: ## kill parts at random during pushes and rollbacks under load, check after each (SEED=, KILLS=102)
	@SEED="$(SEED)" KILLS="$(KILLS)" tools/chaos.sh

fuzz: ## feed the parsers of outside bytes with what breaks them (SECONDS=30 each, TARGET=one; fuzz/README.md)
	@tools/fuzz.sh "$(SECONDS)" "$(TARGET)"

clients: ## docker, skopeo and crane against the registry (installs them)
	@tools/clients.sh

conformance: ## the distribution specification's conformance suite against the registry (SUITE=its program; docs/registry.md)
	@WINDLASS_TEST_BASE=$$(tools/base.sh) && export WINDLASS_TEST_BASE && cargo build --workspace --bins && \
		WINDLASS_CONFORMANCE="$(SUITE)" cargo run -p windlass-e2e --example conformance

api: ## schemathesis against the real API (installs it), as each kind of person
	@tools/api.sh

audit: ## licences and advisories (needs cargo-deny)
	@cargo deny check

deb: ## build a Debian package (PROFILE=release, VERSION=); prints its path
	@tools/deb.sh

test-vm: ## the package on Debian 12 and 13 under emulation: install, push, upgrade, reboot, power cut, purge (VERSIONS=)
	@VERSIONS="$(VERSIONS)" tools/vm.sh
