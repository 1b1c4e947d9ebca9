# What this checkout can do. `make run` and `make test` are all that most people need.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV := .tools/bin/uv

.PHONY: install dev lock

install: $(VENV)/.runtime-installed
dev: $(VENV)/.dev-installed

$(UV):
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .tools 'uv>=0.13,<0.14'

$(VENV)/bin/python: | $(UV)
	@$(UV) venv --quiet --python $(PYTHON) $(VENV)

$(VENV)/.runtime-installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(VENV)/.dev-installed: requirements-dev.lock $(VENV)/.runtime-installed
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

lock: | $(UV)
	$(UV) pip compile pyproject.toml --upgrade --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 --quiet --custom-compile-command "make lock" -o requirements.lock
	$(UV) pip compile pyproject.toml --upgrade --group dev --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 --quiet --custom-compile-command "make lock" -o requirements-dev.lock
