# `make help` lists what can be made. Everything lives in three ignored folders: .venv (tools and the installed
# package), target (what cargo builds) and .models (the real models, fetched once).

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # cargo and pytest use the cores themselves

ifeq ($(OS),Windows_NT)
PYTHON ?= python
PY := .venv/Scripts/python.exe
else
PYTHON ?= python3
PY := .venv/bin/python
endif

# The extension is checked and built for the Python of .venv, whichever others there are.
export PYO3_PYTHON := $(CURDIR)/$(PY)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Folder of the real models for the tests.
RUSHLIGHT_TEST_MODELS ?= $(CURDIR)/.models
export RUSHLIGHT_TEST_MODELS

# All files and folders below the folder $1 (a folder's time tells of files that went away).
below = $(foreach path,$(wildcard $1/*),$(path) $(call below,$(path)))
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md LICENSE THIRD-PARTY-NOTICES \
	$(filter-out %.pyc %/__pycache__,$(call below,src) $(call below,python))

# CUDA's compiler and headers.
CUDA := .venv-cuda/.installed
# The features that a device's name needs.
FEATURES = $(if $(filter cuda%,$(DEVICE)),--features cuda,$(if $(filter mps metal,$(DEVICE)),--features metal))

# Stamps: the tools are in .venv; the package, as built from SOURCES, is in .venv.
TOOLS := .venv/.tools
PACKAGE := .venv/.package
# Further packages: for the benches, for releases, for the documentation, and those that it shows.
BENCHED := .venv/.benched
RELEASING := .venv/.releasing
DOCUMENTING := .venv/.documenting
SHOWN := .venv/.shown
# sentence-transformers, which rushlight.compat is tested against. It has its own environment: other tests need torch absent.
COMPARED := .venv-compat/.installed
# The frameworks and engines of rushlight.integrations, whose dependencies clash.
INTEGRATED := .venv-integrations/.installed .venv-engines/.installed
# Libraries that depend on sentence-transformers, for which rushlight.compat stands in.
STOOD_IN := .venv-standing-in/.installed
# Versions of sentence-transformers that must load saved folders.
OLD_VERSIONS := 3.4.1 4.1.0 5.1.2

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-14s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(PACKAGE) ## Embed real sentences with the real all-MiniLM-L6-v2
	@$(PY) scripts/fetch_models.py all-MiniLM-L6-v2
	@$(PY) examples/demo.py

.PHONY: test
test: lint docs test-rust test-python test-stubs ## Everything that must pass: lint, the documentation, Rust tests, Python tests, stubs
	@$(PY) scripts/fetch_models.py --check all-MiniLM-L6-v2 all-mpnet-base-v2

.PHONY: test-rust
test-rust: models-for-tests ## Rust tests, doctests, and the Rust examples on the real model
	cargo test --locked --features otlp
	@if [ -d .models/all-MiniLM-L6-v2 ]; then set -ex; for example in embed search stream watch; do \
		cargo run --locked --features otlp --quiet --profile test --example $$example -- .models/all-MiniLM-L6-v2; done; fi

.PHONY: test-python
test-python: $(PACKAGE) models-for-tests ## Python tests, on the installed release wheel
	$(PY) -m pytest

.PHONY: test-stubs
test-stubs: $(PACKAGE) ## Hold the type stubs against the built module
	$(PY) -m mypy.stubtest --mypy-config-file pyproject.toml rushlight._core

.PHONY: soak
soak: $(PACKAGE) ## Threads, pools, streams, forks and interrupts at random, for MINUTES=10; on Linux
	$(PY) tests/soak.py tests/data/tiny/bert-mean-normalize/model --minutes $(or $(MINUTES),10)

# This machine, as Rust names it.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

# Coverage and sanitizers are unstable options of rustc, which RUSTC_BOOTSTRAP allows without a nightly one.
UNSTABLE := RUSTC_BOOTSTRAP=1

# AddressSanitizer halves the speed; SANITIZER=none fuzzes without it.
SANITIZER ?= address

.PHONY: fuzz
fuzz: ## Fuzz all targets under AddressSanitizer for MINUTES=10 in all, or TARGETS="texts"; on Linux
	$(UNSTABLE) RUSTFLAGS="--cfg fuzzing$(if $(filter-out none,$(SANITIZER)), -Zsanitizer=$(SANITIZER))" \
		cargo build --locked --release --manifest-path fuzz/Cargo.toml --target $(HOST)
	$(PYTHON) scripts/fuzz.py --minutes $(or $(MINUTES),10) $(TARGETS)

.PHONY: interleavings
interleavings: ## Run the executor in thousands of interleavings of its threads, by the model checker shuttle: minutes
	cd tests/interleavings && cargo test --locked interleavings::

.PHONY: races
races: ## Run the executor under Miri and ThreadSanitizer, which find data races: nightly Rust with miri and rust-src
	cd tests/interleavings && MIRIFLAGS='-Zmiri-ignore-leaks -Zmiri-many-seeds=0..8' \
		cargo +nightly miri test --locked --features system interleavings::
	cd tests/interleavings && RUSTFLAGS=-Zsanitizer=thread cargo +nightly test --locked --features system \
		-Zbuild-std --target $(HOST) interleavings::

# Valgrind has no AVX-512 and no AMX, so the kernels' other instruction sets run. Tests of time and threads are left out.
MEMCHECKED := kernels:: weights:: vectors:: batch:: ops::
MEMCHECK := valgrind --quiet --error-exitcode=1 --fair-sched=yes --partial-loads-ok=yes

.PHONY: memcheck
memcheck: ## Run the tests of the kernels and of what parses files under valgrind's memcheck: on x86-64 Linux
	PROPTEST_CASES=16 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$(MEMCHECK)" \
		cargo test --locked --features server --lib -- --test-threads 1 $(MEMCHECKED)

.PHONY: families
families: ## Write the documentation's table of families from what the tests measure
	RUSHLIGHT_WRITE_FAMILIES=1 cargo test --locked --features otlp --test suite table::

.PHONY: lint
lint: lint-rust lint-python lint-workflows check-version check-notices ## All checks that need neither tests nor the built package

.PHONY: lint-rust
lint-rust: $(TOOLS) ## rustfmt, clippy and rustdoc
	@cargo fmt --version >/dev/null && cargo clippy --version >/dev/null || rustup component add clippy rustfmt
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features bench,serde,ndarray,otlp -- -D warnings
	cargo clippy --locked -p rushlight-python -- -D warnings
	cargo clippy --locked --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

.PHONY: lint-python
lint-python: lint-ruff ## ruff and mypy
	$(PY) -m mypy

.PHONY: lint-ruff
lint-ruff: $(TOOLS) ## ruff, as a commit runs it
	$(PY) -m ruff check
	$(PY) -m ruff format --check

.PHONY: lint-workflows
lint-workflows: $(TOOLS) ## Hold the workflow files against their schema
	$(PY) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.github-issue-forms \
		$(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(PY) -m check_jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

.PHONY: format
format: $(TOOLS) ## Format all code, and mend what the linters can mend
	cargo fmt --all
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

.PHONY: build
build: $(PACKAGE) ## Build the release wheel and install it into .venv

.PHONY: models
models: $(TOOLS) ## Fetch the real models into .models
	@$(PY) scripts/fetch_models.py all-MiniLM-L6-v2 all-mpnet-base-v2

# As `models`, but what can't be fetched is said, and the tests that need it are skipped.
.PHONY: models-for-tests
models-for-tests: $(TOOLS)
	@$(PY) scripts/fetch_models.py --optional all-MiniLM-L6-v2 all-mpnet-base-v2

# The theme's makers warn of a next major version of mkdocs, which isn't used.
.PHONY: docs
docs: $(DOCUMENTING) ## Build the documentation's site into target/site, warnings being errors
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict --config-file docs/mkdocs.yml

.PHONY: test-docs
test-docs: $(PACKAGE) $(SHOWN) models-for-tests ## Run the documentation's code, with the packages that it shows: gigabytes
	$(PY) -m pytest tests/python/test_docs.py

.PHONY: test-compat
test-compat: $(PACKAGE) $(COMPARED) ## Hold rushlight.compat against sentence-transformers itself: gigabytes of torch
	.venv-compat/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/rushlight-*.whl
	.venv-compat/bin/python -m pytest tests/python/test_compat*.py

# Deprecations are those of the frameworks' own insides.
.PHONY: test-integrations
test-integrations: $(PACKAGE) $(INTEGRATED) models-for-tests ## Test rushlight.integrations against the frameworks and engines: gigabytes
	for venv in integrations engines; do \
		.venv-$$venv/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/rushlight-*.whl && \
		.venv-$$venv/bin/python -m pytest tests/integrations -o asyncio_mode=auto \
			-W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning || exit 1; done

.PHONY: test-standing-in
test-standing-in: $(PACKAGE) $(STOOD_IN) ## Run libraries with rushlight.compat in place of sentence-transformers: gigabytes
	.venv-standing-in/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/rushlight-*.whl
	.venv-standing-in/bin/python -m pytest tests/standing_in

.PHONY: test-server
test-server: $(PACKAGE) .venv-clients/.installed ## Run the real clients of OpenAI, TEI, Cohere and others against the server
	.venv-clients/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/rushlight-*.whl
	.venv-clients/bin/python -m pytest tests/server_clients -p no:cacheprovider -W ignore

.PHONY: data
data: .venv-data/.installed ## Make the models in tests/data again, or only CASES="...": gigabytes of torch
	cd tests && $(CURDIR)/.venv-data/bin/python -m generator $(CASES)

.PHONY: test-saved
test-saved: $(PACKAGE) $(OLD_VERSIONS:%=.venv-st-%/.installed) ## Load saved folders in old versions of sentence-transformers: gigabytes of torch for each
	for version in $(OLD_VERSIONS); do \
		.venv-st-$$version/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/rushlight-*.whl && \
		.venv-st-$$version/bin/python -m pytest tests/python/test_saved_for_old_versions.py || exit 1; done

# Flags of maturin for a wheel; releases for Linux have `--zig --compatibility manylinux2014`, for all that have glibc 2.17.
WHEEL ?= --interpreter $(PY)

.PHONY: dist
dist: sdist wheel check-dist ## Build sdist and wheel into dist, install each in a fresh environment and test it there

.PHONY: sdist
sdist: $(TOOLS)
	rm -rf dist
	$(PY) -m maturin sdist --out dist

# zig is found by the Python on the PATH that has it.
.PHONY: wheel
wheel: $(RELEASING)
	PATH="$(CURDIR)/$(dir $(PY)):$$PATH" $(PY) -m maturin build --release --locked --compression-level 9 --out dist $(WHEEL)

.PHONY: check-dist
check-dist: $(RELEASING) models-for-tests
	$(PY) -m twine check --strict dist/*
	$(PY) scripts/check_dist.py --tests dist/*

.PHONY: package
package: ## Build the crate as cargo will publish it
	cargo package --locked

# The oldest Rust that Cargo.toml allows. rustup's cargo takes it as its first argument.
MSRV = $(shell sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)

.PHONY: check-msrv
check-msrv: $(TOOLS) ## Check the crate with the oldest Rust that Cargo.toml allows
	rustup toolchain install $(MSRV) --profile minimal --no-self-update
	cargo +$(MSRV) check --locked --lib
	cargo +$(MSRV) check --locked -p rushlight-python

.PHONY: cuda-check
cuda-check: $(CUDA) ## Build CUDA's kernels and check the crate with the feature cuda; needs no GPU
	$(CUDA_BUILD) cargo clippy --locked --workspace --all-targets --features cuda,rushlight-python/cuda -- -D warnings

.PHONY: metal-check
metal-check: $(TOOLS) ## Check the crate with the features metal and accelerate; on a Mac
	cargo clippy --locked --workspace --all-targets \
		--features metal,accelerate,rushlight-python/metal,rushlight-python/accelerate -- -D warnings

# Processors for qemu: the newest, one without dot products of bytes, one without bfloat16.
AARCH64_CPUS ?= max cortex-a53 neoverse-n1
AARCH64_TESTS ?= kernels:: golden::small

.PHONY: test-aarch64
test-aarch64: ## Run the tests of kernels and small models on emulated ARM: root, Debian, gigabytes, an hour
	for cpu in $(AARCH64_CPUS); do \
		AARCH64_CPU=$$cpu scripts/test-aarch64.sh --no-default-features --lib --test suite -- $(AARCH64_TESTS) || exit 1; done

# The best instruction set of the one is SSE4.2; the other has AVX without AVX2.
OLD_X86_CPUS ?= Nehalem SandyBridge
OLD_X86_TESTS ?= $(addprefix tests/python/test_,golden.py reranker.py sparse.py multi_vector.py precision.py)

.PHONY: test-old-x86
test-old-x86: $(PACKAGE) ## Run the kernels' tests and Python tests on emulated old x86-64 processors: qemu-user, an hour
	@command -v qemu-x86_64 >/dev/null || { echo 'qemu-x86_64 is missing: apt-get install qemu-user' >&2; exit 1; }
	for cpu in $(OLD_X86_CPUS); do \
		CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu $$cpu" \
			cargo test --locked --features server --lib kernels:: && \
		RUSHLIGHT_TEST_MODELS=/none qemu-x86_64 -cpu $$cpu $(PY) -m pytest $(OLD_X86_TESTS) || exit 1; done

# What compiles for CUDA without a GPU: compute capability 8.0, which newer GPUs translate when they load it.
CUDA_HOME_HERE = $(wildcard $(CURDIR)/.venv-cuda/lib/python3*/site-packages/nvidia/cu13)
CUDA_BUILD = CUDA_HOME="$(CUDA_HOME_HERE)" PATH="$(CUDA_HOME_HERE)/bin:$$PATH" CUDARC_CUDA_VERSION=13000 CUDA_COMPUTE_CAP=80

.PHONY: device-wheel
device-wheel: $(TOOLS) $(if $(filter cuda%,$(DEVICE)),$(CUDA)) ## Build the wheel for DEVICE into target/device, to carry to a machine that has one
	$(if $(filter cuda%,$(DEVICE)),$(CUDA_BUILD)) $(PY) -m maturin build --release --locked --interpreter $(PY) \
		--out target/device $(FEATURES)

.PHONY: test-device
test-device: ## Test DEVICE in 10 minutes and write target/device/report-DEVICE.md: cpu, cuda or metal
	@[ -e "$$(echo target/device/*.whl)" ] || $(MAKE) device-wheel
	$(PY) scripts/device $(or $(DEVICE),$(error DEVICE must name a device: cpu, cuda or metal))

.PHONY: test-device-rust
test-device-rust: models-for-tests ## Run the Rust tests of all models on DEVICE alone: cpu, cuda, cuda:1 or metal
	RUSHLIGHT_TEST_DEVICE=$(or $(DEVICE),$(error DEVICE must name a device: cpu, cuda, cuda:1 or metal)) \
		cargo test --locked $(FEATURES) --test suite -- --nocapture golden::small_models golden::real_models families::both_ops \
		sparse::weights_are multi_vector::vectors_and_scores reranker::scores_are reranker::token_ids oracle::

# Databases of advisories are no packages: ADVISORIES= leaves them out, where only registries are reached.
ADVISORIES ?= advisories

.PHONY: deny
deny: ## Check the advisories, licences and sources of all crates by deny.toml
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny --locked check $(ADVISORIES) licenses bans sources

.PHONY: audit
audit: $(RELEASING) ## Check the Python packages of .venv, which are the dependencies and the tools, for known vulnerabilities
	$(if $(ADVISORIES),$(PY) -m pip_audit --local --strict --progress-spinner off,@echo 'Python packages: NOT audited')

# rustdoc describes the crate in JSON, which cargo-public-api reads. Only unstable options of the compiler give it.
.PHONY: api
api: $(TOOLS) ## Record the public interfaces of the crate and of the Python package in docs/api
	$(PY) scripts/python_api.py >docs/api/python.txt
	@cargo public-api --version >/dev/null 2>&1 || cargo install --locked cargo-public-api
	RUSTC_BOOTSTRAP=1 cargo rustdoc --locked --lib --features serde,ndarray,server --target-dir target/api -- \
		-Z unstable-options --output-format json
	cargo public-api -sss --rustdoc-json target/api/doc/rushlight.json >docs/api/rust.txt

.PHONY: check-api
check-api: api ## Show the changes of the public interfaces that docs/api doesn't record, and fail on any
	git diff --exit-code -- docs/api

.PHONY: notices
notices: $(TOOLS) ## Write THIRD-PARTY-NOTICES from the sources of the crates that wheels contain: minutes
	@cargo about --version >/dev/null 2>&1 || cargo install --locked cargo-about --features cli
	$(PY) scripts/notices.py

.PHONY: check-notices
check-notices: $(TOOLS)
	$(PY) scripts/notices.py --check

.PHONY: check-version
check-version: $(TOOLS) ## Hold the places that name the version against each other, and TAG where it is given
	$(PY) scripts/check_version.py $(TAG)

VERSION = $(shell sed -n '0,/^version = / s/^version = "\(.*\)"/\1/p' Cargo.toml)
NOTES := target/release-notes.md

.PHONY: release-notes
release-notes: $(TOOLS) ## Write the notes of this version, out of CHANGELOG.md, into target/release-notes.md
	@mkdir -p target
	$(PY) scripts/release_notes.py $(VERSION) >$(NOTES)

.PHONY: release-check
release-check: ## All that a release does but publishing; without a network beyond registries: ADVISORIES=
	$(MAKE) check-version TAG=v$(VERSION)
	$(MAKE) check-notices deny audit check-api docs release-notes package dist

# The site of each version is a folder of the branch gh-pages. A release candidate isn't the latest version. mike runs the
# mkdocs on the PATH.
MIKE = NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/$(dir $(PY)):$$PATH" mike

.PHONY: publish-docs
publish-docs: $(DOCUMENTING) ## Push this version's site to the branch gh-pages; for the release workflow
	$(MIKE) deploy --config-file docs/mkdocs.yml --push --update-aliases \
		$(VERSION) $(if $(findstring -,$(VERSION)),next,latest)
	$(if $(findstring -,$(VERSION)),,$(MIKE) set-default --config-file docs/mkdocs.yml --push latest)

.PHONY: publish-crate
publish-crate: ## Publish the crate; for the release workflow
	cargo publish --locked

.PHONY: check-loops
check-loops: $(TOOLS) ## Disassemble the products' innermost loops: no sum may leave its register; on x86-64
	$(PY) scripts/check_loops.py

BENCH := $(PY) benches/python/bench.py
PEERS := peers st embed-anything

.PHONY: bench
bench: $(PACKAGE) models $(BENCHED) ## Measure rushlight against the processor's peak, alone: five minutes
	cargo bench --locked --features bench --bench kernels
	$(BENCH) throughput
	$(BENCH) single
	$(BENCH) scaling
	$(BENCH) throughput --model all-mpnet-base-v2 --workloads mixed
	$(BENCH) plot

.PHONY: bench-peers
bench-peers: $(PACKAGE) models $(BENCHED) $(PEERS:%=benches/.venv-%/.installed) ## Measure rushlight beside its peers: an hour, and gigabytes of torch
	$(BENCH) prepare
	$(BENCH) throughput --contenders all
	$(BENCH) single --contenders all
	$(BENCH) start --contenders all
	$(BENCH) memory --contenders all
	$(BENCH) scaling
	$(BENCH) throughput --model all-mpnet-base-v2 --workloads mixed
	$(BENCH) growth
	$(BENCH) plot
	$(BENCH) table

# Installs the wheel $2 into the environment $1.
define install-wheel
$(PYTHON) scripts/make_venv.py benches/.venv-$1
benches/.venv-$1/bin/python -m pip install --quiet $2
benches/.venv-$1/bin/python -m pip install --quiet --force-reinstall --no-deps $2
endef

# PARTS are some of bits, instructions and throughput; the instructions need valgrind.
.PHONY: bench-compare
bench-compare: models-for-tests ## Compare the wheels BEFORE=a.whl and AFTER=b.whl: bits, instructions, throughput
	$(call install-wheel,before,$(or $(BEFORE),$(error BEFORE must name a wheel)))
	$(call install-wheel,after,$(or $(AFTER),$(error AFTER must name a wheel)))
	benches/.venv-before/bin/python benches/python/bench.py compare $(BEFORE) $(AFTER) $(if $(PARTS),--parts $(PARTS))

$(BENCHED): $(TOOLS)
	$(PY) -m pip install --quiet --group bench
	@touch $@

$(CUDA): pyproject.toml
	$(PYTHON) scripts/make_venv.py .venv-cuda
	.venv-cuda/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-cuda/bin/python -m pip install --quiet --group cuda
	@touch $@

$(RELEASING): $(TOOLS)
	$(PY) -m pip install --quiet --group release
	@touch $@

$(DOCUMENTING): $(TOOLS)
	$(PY) -m pip install --quiet --group docs
	@touch $@

$(SHOWN): $(TOOLS)
	$(PY) -m pip install --quiet --group shown
	$(PY) -m pip install --quiet --no-deps bertopic keybert # whose dependencies are torch, which they do without
	@touch $@

$(COMPARED): pyproject.toml
	$(PYTHON) scripts/make_venv.py .venv-compat
	.venv-compat/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-compat/bin/python -m pip install --quiet --group compat
	@touch $@

.venv-integrations/.installed .venv-engines/.installed: .venv-%/.installed: pyproject.toml
	$(PYTHON) scripts/make_venv.py .venv-$*
	.venv-$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-$*/bin/python -m pip install --quiet --group $*
	@if [ $* = integrations ]; then .venv-$*/bin/python -m pip install --quiet --no-deps bertopic==0.17.4 keybert==0.9.0; fi
	@touch $@

$(STOOD_IN): pyproject.toml
	$(PYTHON) scripts/make_venv.py .venv-standing-in
	.venv-standing-in/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-standing-in/bin/python -m pip install --quiet --group standing-in
	@touch $@

.venv-clients/.installed: pyproject.toml
	$(PYTHON) scripts/make_venv.py .venv-clients
	.venv-clients/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-clients/bin/python -m pip install --quiet --group clients
	@touch $@

.venv-data/.installed: pyproject.toml
	$(PYTHON) scripts/make_venv.py .venv-data
	.venv-data/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-data/bin/python -m pip install --quiet --group data
	@touch $@

.venv-st-%/.installed: pyproject.toml
	$(PYTHON) scripts/make_venv.py .venv-st-$*
	.venv-st-$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-st-$*/bin/python -m pip install --quiet 'sentence-transformers==$*' 'transformers==4.57.*' 'pytest>=9,<10'
	@touch $@

benches/.venv-%/.installed: benches/python/requirements-%.txt
	$(PYTHON) scripts/make_venv.py benches/.venv-$*
	benches/.venv-$*/bin/python -m pip install --quiet -r $<
	@touch $@

.PHONY: clean
clean: ## Remove what was built; keep the fetched models
	rm -rf .venv target dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(TOOLS): pyproject.toml scripts/make_venv.py
	$(PYTHON) scripts/make_venv.py .venv
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PY) -m pip install --quiet --group dev
	@touch $@

$(PACKAGE): $(TOOLS) $(SOURCES)
	rm -rf target/wheels
	$(PY) -m maturin build --release --locked --compression-level 9 --interpreter $(PY) --out target/wheels
	$(PY) -m pip uninstall -qq --yes rushlight
	$(PY) -m pip install --quiet target/wheels/rushlight-*.whl
	@touch $@
