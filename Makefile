# What this checkout can do. `make run` and `make test` are all that most people need; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV := .tools/bin/uv

DATA ?= data
PORT ?= 8080
ADMIN_PORT ?= $(if $(filter-out 0,$(PORT)),$(shell expr $(PORT) + 1),0)
N ?= 500
RELAY = $(BIN)/tokenim-relay serve --data '$(DATA)' --listen '127.0.0.1:$(PORT)' --admin-listen '127.0.0.1:$(ADMIN_PORT)'

.PHONY: help install dev run test collected static check demo many broadcast bench conversations interop hostile conformance mutations kills power lock audit wheel dist debian browser cluster cluster-up clean

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.runtime-installed ## the locked packages and this checkout, into .venv
	@:

dev: $(VENV)/.dev-installed ## the same, with what tests and checks need
	@:

$(VENV)/.runtime-installed: requirements.lock requirements-dev.lock requirements-uv.lock pyproject.toml .ci/install
	@.ci/install $(PYTHON) $(VENV) requirements.lock && touch $@

$(VENV)/.dev-installed: requirements-dev.lock $(VENV)/.runtime-installed
	@.ci/install $(PYTHON) $(VENV) requirements-dev.lock && touch $@

# On Ctrl-C make reports an error of its own, whatever the relay says. So make steps aside: $(exec …) of
# .ci/exec.c replaces it by the relay. Where make cannot load that, the second line starts the relay as a child.
run: install .tools/exec.so ## start a relay on this machine: [DATA=data] [PORT=8080] [ADMIN_PORT=8081], Ctrl-C stops it
	@$(if $(findstring n,$(firstword -$(MAKEFLAGS))),,$(eval -load .tools/exec.so)$(exec $(RELAY)))
	@exec $(RELAY)

.tools/exec.so: .ci/exec.c
	@mkdir -p .tools; gcc -O -shared -fPIC -o $@ $< || echo "no gcc: make itself will end with an error on Ctrl-C" >&2

test: dev ## every check and every test
	@# Beside the checks, one process compiles the tests, which each worker would do otherwise.
	@$(MAKE) --no-print-directory -j2 static collected
	@# Four keep two cores busy; more make each test slower, until some are out of time.
	@$(BIN)/python -m pytest -n 4 --dist worksteal

collected: dev ## compile every test, which `make test` does beside the checks
	@$(BIN)/python -m pytest -q --collect-only >.tools/collected.log || { tail -50 .tools/collected.log; exit 1; }

check: dev static ## style, types, import arrows, file sizes, documents in step
	@$(BIN)/python -m pytest -q tests/architecture

static: dev ## of these the ones that run nothing of ours: style, types, import arrows
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >.tools/lint-imports.log || { cat .tools/lint-imports.log; exit 1; }

demo: install ## two people, a relay that is killed, real text and a picture: nothing lost, twice or readable
	@$(BIN)/python -m bench.demo

many: N = 120
many: install ## people who never talked before all write in one group at once: nothing lost or twice: [N=120]
	@$(BIN)/python -m bench.many --members $(N)

broadcast: N = 10000
broadcast: install ## one client speaks to a group of so many, a tenth of whom come later, one is removed: [N=10000]
	@$(BIN)/python -m bench.broadcast --members $(N)

bench: install ## measure this machine: [ONLY=name]
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY))

conversations: dev ## let the product talk with the second implementation of tests/oracle, at random: [N=500] [FROM=0]
	@TOKENIM_CONVERSATIONS=$(N) TOKENIM_CONVERSATIONS_FROM=$(or $(FROM),0) $(BIN)/python -m pytest -q -n 2 --dist worksteal tests/oracle/test_random_conversations.py

interop: dev ## the client in JavaScript and the one in Python through a real relay; the table of what went which way: minutes
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal tests/interop

hostile: dev ## every attack of a malicious relay, and what users see of it: [GUARDS=off takes the client's guards away]
	@$(BIN)/python -m tests.hostile.attack_table $(if $(filter off,$(GUARDS)),--without-guards)

conformance: dev ## every case of the conformance kit for clients, on the client in Python and on the one in JavaScript: minutes
	@$(BIN)/tokenim-conformance client --level media --level groups --level push --level history -- $(BIN)/python -m client.conformance_adapter
	@$(BIN)/tokenim-conformance client --level media --level groups -- $$($(BIN)/python -m tests.interop.node_of_wheel) --disable-warning=ExperimentalWarning tests/interop/js/node/main.js

mutations: dev ## break relay and client on purpose: the conformance case that is named for each fault sees it: [ONLY=client-history]
	@$(BIN)/python -m tests.conformance.mutate $(if $(ONLY),--only $(ONLY))

cluster: dev ## three nodes, PostgreSQL, NATS and S3: every fault, then the demo while each is killed: nothing lost, twice or readable
	@$(BIN)/python -m pytest -q tests/cluster
	@$(BIN)/python -m tests.cluster.demo

cluster-up: dev ## the same, left running until Ctrl-C: a relay of three nodes behind a balancer
	@exec $(BIN)/python -m tests.servers.cluster

kills: install ## kill -9 the relay at random and check what it promised: [N=500]
	@$(BIN)/python -m tests.faults.kills --n $(N) --queued 100000

power: install ## cut the power of the relay's disk under load, and fill it (needs root; says so where it cannot)
	@$(BIN)/python -m tests.faults.power_loss
	@$(BIN)/python -m tests.faults.disk_full

wheel: dev ## build the wheel, install it into an empty environment, start the relay from it
	@$(BIN)/python -m pytest -q tests/journeys/test_built_wheel.py

debian: dev ## deploy/ against nginx, Caddy, systemd and Prometheus of Debian, and the commands of the Containerfile (`.ci/debian` installs them)
	@$(BIN)/python -m pytest -q tests/debian

browser: dev ## the dashboard in Debian's Chromium (`.ci/debian chromium` installs it); pictures of it in build/browser
	@$(BIN)/python -m pytest -q tests/browser

dist: dev ## wheel, source, bill of materials and checksums, in dist/
	@.ci/dist $(BIN) dist

lock: dev ## take the newest versions that pyproject.toml allows, with their hashes
	@echo 'uv' | $(UV) pip compile - --upgrade $(LOCKED) -o requirements-uv.lock >/dev/null
	@$(UV) pip compile pyproject.toml --upgrade $(LOCKED) -o requirements.lock
	@$(UV) pip compile pyproject.toml --upgrade --extra cluster $(LOCKED) -o requirements-cluster.lock
	@$(UV) pip compile pyproject.toml --upgrade --extra cluster --group dev $(LOCKED) -o requirements-dev.lock
LOCKED := --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --python-version 3.11 --quiet \
	--custom-compile-command "make lock"

audit: dev ## known vulnerabilities of the locked packages, and their list as CycloneDX (build/sbom.json)
	@.ci/audit $(BIN) requirements.lock build/sbom.json
	@.ci/audit $(BIN) requirements-cluster.lock build/sbom-cluster.json

clean: ## remove what was installed and built; your data folder stays
	@rm -rf $(VENV) .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
