# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format tests attack golden mutants browser wheel release clean

help: ## Say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/installed ## Install, ingest the bundled clip and answer a few prompts
	$(BIN)/vsdb demo

test: lint tests ## All that CI runs: ruff, mypy, pytest (10 GB of disk)

lint: $(VENV)/installed-dev ## Ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev ## Format, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Each worker has a server of its own; two threads a worker would only wait for each other.
tests: $(VENV)/installed-dev ## Pytest: all of it, or some: make tests ARGS='tests/unit -k patches'
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal $(ARGS)

attack: $(VENV)/installed-dev ## What was tried to break vsdb, with the figures of docs/security.md; a part of tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/attack $(ARGS)

golden: $(VENV)/installed-dev ## Write the golden dump of the schema anew; read its difference before you commit it
	VSDB_GOLDEN=write $(BIN)/pytest -q tests/integration/test_golden_schema.py

mutants: $(VENV)/installed-dev ## Try single-line mistakes and print the share that the tests catch
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutations $(ARGS)

# Without a browser the tests of the page are skipped. Only root can install one, and only this target does.
browser: ## Install Chromium (Debian, Ubuntu; as root) for the tests of the page
	@for name in chromium chromium-browser google-chrome; do command -v $$name && exit 0; done; \
	apt-get update -qq && apt-get install -qq --yes --no-install-recommends chromium fonts-dejavu-core > /dev/null \
	&& command -v chromium

wheel: $(VENV)/installed-dev ## Build dist/*.whl
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

release: $(VENV)/installed-dev ## Date the changelog, set the version, commit and tag: make release VERSION=0.2.0
	$(BIN)/python tools/release.py $(VERSION)

clean: ## Remove the environment and what was built
	rm -rf $(VENV) dist build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	|| { echo 'vsdb needs Python 3.10 or newer: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed pyproject.toml
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@
