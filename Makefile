# Every target sets itself up: a machine with Python >= 3.11, make and a package index is enough.
STUDY ?= missing_vs_max
JOBS ?=
SEEDS ?=
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN_OPTIONS := $(if $(JOBS),--jobs $(JOBS)) $(if $(SEEDS),--seeds $(SEEDS))

PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal# hundreds of processes: compile once
.DEFAULT_GOAL := help
.PHONY: help setup study smoke report ui bench audit test faults lint check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables:    STUDY=$(STUDY)  JOBS=<processes, default one a core>  SEEDS=<how many>"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python >= 3.11 is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1); set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -c 'import a3c.engines.compiled'  # compiles the kernels once: every process loads them from the cache
	@touch $@

setup: $(READY) ## create .venv with the pinned packages

study: $(READY) ## run (or continue) STUDY and write its report
	$(BIN)/a3c-bench run $(STUDY) $(RUN_OPTIONS)

smoke: $(READY) ## the same path in under a minute
	$(BIN)/a3c-bench run smoke $(RUN_OPTIONS)

report: $(READY) ## write the report of STUDY again from its records
	$(BIN)/a3c-bench report $(STUDY)

ui: $(READY) ## browse the recorded runs at http://localhost:5000
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --host 127.0.0.1 --workers 1

bench: $(READY) ## how fast training is, beside the environment alone and SB3's A2C (about 8 minutes)
	$(BIN)/a3c-bench bench

audit: $(READY) ## look the pinned packages up among known vulnerabilities (needs the network)
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

test: $(READY) ## run the tests
	$(PYTEST)

faults: $(READY) ## run the long tests, too: every write killed, a hundred kills, a full disk, a soak (about an hour)
	$(PYTEST) -m slow

lint: $(READY) ## format, lint and strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test ## everything that must hold before a commit

format: $(READY) ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the virtual environment and caches; results (out/, mlflow.db, mlartifacts/) stay
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find a3c harness reports studies tests -name __pycache__ -type d -prune -exec rm -rf {} +
