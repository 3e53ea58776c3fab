# One or two plain commands each; `make help` lists them.

VENV := .venv/installed
PACKAGE := target/lambda/bootstrap/bootstrap.zip
FUZZ_SECONDS ?= 60

.PHONY: help fmt lint doc test unit soak emulator fuzz mutants bench demo dist package release-artifacts tf e2e workflows deny ci clean .venv

help:  ## Lists the targets.
	@sed -n 's/^\([a-z0-9.-]*\):.*## /\1|/p' Makefile | sed 's/^\.venv/.venv/' | while IFS='|' read -r target text; do printf '%-17s %s\n' "$$target" "$$text"; done

fmt:  ## Formats the code.
	cargo fmt
	cd fuzz && cargo fmt
	cd examples && cargo fmt

lint:  ## Lints everything, warnings as errors.
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd fuzz && cargo clippy --locked --release -- -D warnings
	cd examples && cargo clippy --locked --all-targets --test emulator -- -D warnings

doc:  ## Builds the documentation, warnings as errors.
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --lib

test: unit emulator  ## Runs all tests.

unit:  ## Runs the tests that need nothing but Rust.
	cargo test --locked --workspace

soak:  ## Plays random stories against the simulated AWS: make soak SEEDS=1000000
	SEEDS=$(or $(SEEDS),1000000) cargo test --locked --workspace --test it whatever -- --nocapture

emulator: $(VENV)  ## Runs the real function and the command line against emulators of AWS.
	cargo test --locked --workspace --test emulator --test cli
	cd examples && cargo test --locked --test emulator

fuzz:  ## Fuzzes what reads untrusted text: make fuzz FUZZ_SECONDS=60
	.ci/fuzz $(FUZZ_SECONDS)

mutants:  ## Plants bugs in the core, and names those that no unit test notices.
	.ci/mutants

bench: package  ## Measures start, memory, size and storms, and prints a table.
	.ci/build --package redeploy-on-rotation-bare
	python3 benches/bench.py target/release/bootstrap target/release/bare $(PACKAGE)

demo: $(VENV)  ## Shows a rotation from end to end on an emulator.
	cargo build --locked --profile demo --bin bootstrap
	python3 .ci/zip.py target/demo/bootstrap target/demo/bootstrap.zip
	.venv/bin/python demo/demo.py target/demo/bootstrap.zip

dist:  ## Builds the command line, its completions and its man pages into target/dist.
	.ci/build --package redeploy-on-rotation-cli
	target/release/redeploy-on-rotation dist target/dist
	cp target/release/redeploy-on-rotation target/dist/

package:  ## Builds the zip for Lambda, for this machine's architecture.
	.ci/build --bin bootstrap
	.ci/package target/release/bootstrap $(PACKAGE)

release-artifacts:  ## Makes what a release has for this machine, into target/artifacts.
	.ci/release-artifacts

tf: $(VENV)  ## Checks the Terraform module: format, validity, tests, security.
	.ci/terraform

e2e: package $(VENV)  ## Applies the Terraform module to an emulator, and rotates a secret through it.
	.venv/bin/python infra/e2e/e2e.py $(PACKAGE)

workflows: $(VENV)  ## Checks the workflows, and what a release is packed with.
	.ci/workflows
	.ci/release-test

deny:  ## Checks the dependencies' licences and sources.
	.ci/deny

ci:  ## Runs the gate.
	bash .ci/run

clean:  ## Removes what was built and installed.
	rm -rf target .venv

.venv: $(VENV)  ## Installs the emulators.

$(VENV): requirements-dev.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement requirements-dev.txt
	touch $@
