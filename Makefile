# `make help` lists the targets. Everything runs in .venv, which the targets make and keep up to date themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PYTHONPATH := $(CURDIR)
# Compiled once, not in each of the hundreds of processes that tests start; images of containers like to forbid it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve setup setup-dev lint format types test schema migrations lock bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

serve: setup  ## run everything on http://127.0.0.1:8000: SQLite, local files, an embedded worker
	@exec $(BIN)/headwater serve

setup: $(VENV)/.runtime  ## the virtual environment with the locked dependencies

setup-dev: $(VENV)/.dev  ## the same, with what tests and checks need

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Headwater needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo 'Installing the locked dependencies (once; about a minute) …'
	$(PIP) install --no-compile --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(COMPILE)
	@touch $@
# On all processors, where pip takes one; some packages bring files that are no Python of this version.
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo 'Installing what the tests need …'
	$(PIP) install --no-compile --require-hashes -r requirements-dev.lock
	@$(COMPILE)
	@touch $@

lint: setup-dev  ## style, import contracts, spelling, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell $$(git ls-files '*.py' '*.md' '*.toml' '*.graphql')
	$(BIN)/deptry .

format: setup-dev  ## rewrite the code to the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup-dev  ## mypy, strict, tests included
	$(BIN)/mypy --num-workers $(TYPES_AT_ONCE)
TYPES_AT_ONCE := $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count(), 4))')

test: setup-dev  ## all tests; those of a service that is not there are skipped with a reason
	$(BIN)/pytest -n $(TESTS_AT_ONCE) --dist worksteal
# More than there are processors: half of the time a test waits for other processes.
TESTS_AT_ONCE := $(shell $(PYTHON) -c 'import os; print(3 * os.cpu_count() // 2)')

schema: setup  ## export schema.graphql from the code
	$(BIN)/headwater schema > schema.graphql.new && mv schema.graphql.new schema.graphql

migrations: setup  ## write the migration for changed models: make migrations NAME=add_colour
	$(BIN)/python -m models.migrate make $(NAME)

lock:  ## pin the newest allowed versions again (needs uv)
	uv pip compile pyproject.toml --group build -o requirements.lock $(LOCK)
	uv pip compile pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock $(LOCK)
	uv pip compile tests/bench/peers/requirements.in -o tests/bench/peers/requirements.lock $(LOCK)
LOCK := --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet

PEERS := build/peers
$(PEERS)/.installed: tests/bench/peers/requirements.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

bench: setup-dev $(PEERS)/.installed  ## measure, as ratios in one run; not a test
	$(BIN)/python -m tests.bench

clean:  ## remove what the targets made, but no data
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
