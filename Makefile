# Needs make and Python 3.11 or later; everything else is installed into $(VENV).

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TWEEZER := $(BIN)/tweezer

# What is installed: to run, to test, to develop. Each stamp is as old as its installation.
RUN := $(VENV)/.installed-run
TEST := $(VENV)/.installed-test
DEV := $(VENV)/.installed-dev

.PHONY: help
help: ## Print this text
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(DEV) ## Install everything that development needs into .venv

.PHONY: demo
demo: $(RUN) ## Run two example programs on a temporary stack and show their results
	@$(TWEEZER) demo --temporary

.PHONY: serve
serve: $(RUN) ## Start everything and keep it running (ARGS="--port 9000" for options)
	@exec $(TWEEZER) up $(ARGS)

.PHONY: protos
protos: $(DEV) ## Generate the Python code of the .proto files
	@$(BIN)/python scripts/generate_protos.py

.PHONY: docs
docs: $(DEV) ## Print docs/lifecycle.md from the tables of the life cycle
	@$(LIFECYCLE_PAGE) > docs/lifecycle.md

.PHONY: format
format: $(DEV) ## Format the code and the .proto files
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write

.PHONY: lint
lint: $(DEV) ## Check style, types, imports, .proto files, deploy/ and everything generated
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@out=$$($(BIN)/bandit --quiet --configfile pyproject.toml --recursive \
	    services/tweezer gateway/tweezer scripts 2>&1) || { echo "$$out"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@out=$$($(BIN)/lint-imports --no-logo) || { echo "$$out"; exit 1; }
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/python scripts/generate_protos.py --check
	@$(BIN)/python scripts/lint_deploy.py
	@$(LIFECYCLE_PAGE) | diff docs/lifecycle.md - || \
	    { echo "docs/lifecycle.md is out of date: run 'make docs'" >&2; exit 1; }

.PHONY: audit
audit: $(RUN) ## Look up known vulnerabilities of what is installed (ARGS=--require: all of it)
	@$(PIP) install --group audit
	@$(BIN)/python -m pip list --format freeze --exclude-editable > $(VENV)/.installed
	@$(BIN)/python scripts/audit.py $(VENV)/.installed $(ARGS)

.PHONY: test
test: $(TEST) ## Run the tests (ARGS="-k name" for some of them)
ifdef ARGS
	@$(BIN)/python -m pytest --quiet $(ARGS)
else
	@$(BIN)/python -m pytest --quiet $(ONE_BY_ONE)
	@$(BIN)/python -m pytest --quiet $(SIDE_BY_SIDE) $(ONE_BY_ONE:%=--ignore=%)
endif

# Each file in one process, since the tests of a file share what they have started.
SIDE_BY_SIDE = -n auto --maxprocesses 4 --dist loadfile
# Its tests share one identifier: side by side, only one of them would be run.
ONE_BY_ONE = tests/e2e/test_fuzz.py

.PHONY: check
check: lint test ## Check everything: lint and test

# Claims about the rate of jobs against bare processes: docs/performance.md.
EXECUTION_BENCHES := bench-atoms4 bench-atoms8 bench-atoms10 bench-identical

# About requests, history and the start: benchmarks/NAME.py, docs/performance.md.
SERVICE_BENCHES := bench-requests bench-latency bench-scale bench-start_and_memory bench-engines \
    bench-replicas

.PHONY: bench $(EXECUTION_BENCHES) $(SERVICE_BENCHES)
bench: $(EXECUTION_BENCHES) $(SERVICE_BENCHES) ## Measure what docs/performance.md claims; bench-NAME for one

bench-atoms4 bench-atoms8 bench-atoms10: bench-atoms%: $(TEST)
	@$(BIN)/python benchmarks/throughput.py --atoms $* $(ARGS)

$(SERVICE_BENCHES): bench-%: $(TEST)
	@$(BIN)/python -m benchmarks.$* $(ARGS)

# Not part of `make bench`: half an hour, and a gigabyte of results.
.PHONY: bench-soak bench-downloads
bench-soak bench-downloads: bench-%: $(TEST)
	@$(BIN)/python -m benchmarks.$* $(ARGS)

bench-identical: $(TEST)
	@$(BIN)/python benchmarks/throughput.py --identical $(ARGS)

LIFECYCLE_PAGE = $(BIN)/python -c 'from tweezer.lifecycle.diagram import page; print(page(), end="")'

$(RUN): $(VENV)/.made pyproject.toml
	@echo "Installing Tweezer into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

$(TEST): $(RUN)
	@echo "Installing what the tests need ..."
	@$(PIP) install --group test
	@touch $@

$(DEV): $(TEST)
	@echo "Installing what development needs ..."
	@$(PIP) install --group dev
	@touch $@

# The first Python of these that is new enough; one that is only a name (pyenv's shims of versions
# that are not active) does not answer. `pip install --group` needs pip 25.1.
$(VENV)/.made:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Making $(VENV) with $$($$python --version) ..."; \
	        $$python -m venv $(VENV) || exit 1; \
	        break; \
	    fi; \
	done; \
	test -x $(BIN)/python || { echo "Tweezer needs Python 3.11 or later." >&2; exit 1; }
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@
