# Start here: `make` lists the commands. Everything lands in .venv/, nothing on the system.

VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs

export PIP_DISABLE_PIP_VERSION_CHECK := 1

SUPPORTED := import sys; assert sys.version_info >= (3, 11)
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)
NO_PYTHON = Python 3.11 or newer is missing (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13)

# Debian ships ensurepip apart from python3: without it, any pip from 23 on can fill the venv from outside.
ENSUREPIP = $(shell $(PYTHON) -c 'import ensurepip' 2>/dev/null && echo yes)
PIP_OUTSIDE = $(shell for pip in "$(PYTHON) -m pip" pip3 pip "python3 -m pip"; do \
	$$pip --version 2>/dev/null | grep -Eq '^pip (2[3-9]|[3-9][0-9])\.' && echo "$$pip --python $(BIN)/python" && break; done)
PIP = $(if $(ENSUREPIP),$(BIN)/python -m pip,$(PIP_OUTSIDE))
NO_PIP = pip 23 or newer is missing (Debian, Ubuntu: apt install python3-venv python3-pip; elsewhere: python3 -m ensurepip)
FITS = $(SUPPORTED)$(if $(ENSUREPIP),; import pip)
NO_KAFKA = what needs Apache Kafka is skipped (Debian, Ubuntu: apt install default-jdk-headless maven)

.DEFAULT_GOAL := help
.PHONY: help install run test soak check bench docs docs-generated lock

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

install: $(STAMP) ## .venv/ with the package and everything it needs, checked by hash
	@for tool in java mvn; do command -v $$tool >/dev/null || echo "missing: $$tool; $(NO_KAFKA)"; done

run: $(STAMP) ## the whole service on this machine: ARGS="--port 8000 --duration 60"
	@$(BIN)/equilibrium demo $(ARGS)

# One test at a time to whoever is free: files differ in length by a factor of a thousand. Two
# workers: with three, tests that break servers under load disturb one another on two cores.
PYTEST = $(BIN)/python -m pytest -n 2 --dist load --maxschedchunk 1

test: install ## every test that can run here: ARGS="tests/unit -k ladder"
	@$(PYTEST) $(ARGS)

soak: install ## the long tests, which `make test` leaves out: ARGS="tests/fault/test_pump_flap.py"
	@$(PYTEST) -m soak $(ARGS)

check: $(STAMP) ## lint, form, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP) ## measure; writes benchmarks/results/latest.json and docs/benchmarks.md
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(DOCS_STAMP) ## the documentation as a site in site/
	@$(BIN)/zensical build --clean --strict --config-file .zensical.toml

docs-generated: $(STAMP) ## write the pages that are made from the code
	@$(BIN)/python docs/generate.py

lock: ## pin every dependency anew (needs uv)
	@uv pip compile $(LOCK) --extra embedded --group dev --group build pyproject.toml -o requirements.lock
	@uv pip compile $(LOCK) --constraint requirements.lock pyproject.toml -o docs/deploy/requirements.lock
	@uv pip compile $(LOCK) --constraint requirements.lock --group docs -o docs/requirements.lock

LOCK := --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header

$(STAMP): requirements.lock pyproject.toml
	@$(if $(PYTHON),,$(error $(NO_PYTHON)))
	@$(if $(PIP),,$(error $(NO_PIP)))
	@$(BIN)/python -c '$(FITS)' 2>/dev/null || $(PYTHON) -m venv --clear $(if $(ENSUREPIP),,--without-pip) $(VENV)
	@echo "installing into $(VENV)/ (about a minute the first time)"
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DOCS_STAMP): docs/requirements.lock $(STAMP)
	@$(PIP) install --quiet --no-deps --require-hashes -r docs/requirements.lock
	@touch $@
