# Distributed Sequencer Technology: `make help` lists what there is.
# Every target does its own set-up; a fresh machine needs Python >= 3.11, make and git.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup tools fmt lint types contracts platforms geth unit sim sim-long sim-twins sim-model sim-recovery \
	judges conformance e2e e2e-docker test check devnet down chaos scenarios bench bench-execution bench-lag bench-ports docs \
	clean distclean lock

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
TOOLS_STAMP := .venv/.tools

# Words that a target takes: make devnet OPERATORS=4 SLOT=1 BACKEND=process DETACH=1 DIR=.devnet
OPERATORS ?= 4
SLOT ?= 1
BACKEND ?=
DIR ?= .devnet
OFFSET ?= 0
NAME ?= leader-kill
RUNS ?= 1
SEED ?=
N ?= 4
SEEDS ?= 120
TAPE ?=
HEIGHTS ?= 1000000
SCHEDULES ?= 1000000
WORKERS ?=
# Seeds of swarm chaos, n = 4, on two cores: `make sim` in three minutes in all, the gate in six.
SIM_SEEDS ?= 1500
GATE_SEEDS ?= 2000
PYTEST_ARGS ?=
EEST ?=
ETHEREUM_TESTS ?=
GETH ?=
MINUTES ?= 5
WRITE ?=
COUNTS := .venv/.conformance.jsonl

# The campaign first and alone: its bar has the terminal, its workers have both cores. PYTEST_ARGS may select
# nothing of either half, which is an error to pytest: then it is one run.
CAMPAIGN := tests/simulation/test_campaign.py
SIMULATION = $(if $(PYTEST_ARGS),$(BIN)/pytest tests/simulation -n 2 --dist loadfile $(PYTEST_ARGS),\
	$(BIN)/pytest $(CAMPAIGN) && $(BIN)/pytest tests/simulation --ignore $(CAMPAIGN) -n 2 --dist loadfile)

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  words: OPERATORS=4 SLOT=1 (seconds) BACKEND=docker|process DIR=.devnet OFFSET=0 (ports, to 11000) DETACH=1"
	@echo "         NAME=leader-kill RUNS=1 SEED=7 (chaos)   SEED=7 N=4 TAPE=FILE (sim)   PYTEST_ARGS='-x -k words'"
	@echo "         HEIGHTS=1000000 SCHEDULES=1000000 N=4 SEED=0 (the first) WORKERS=tcp://HOST:8786 (sim-long; a Dask scheduler)"
	@echo "         EEST=DIR ETHEREUM_TESTS=DIR GETH=FILE MINUTES=5 (conformance: published fixtures, a geth)"
	@echo "         WRITE=1 (conformance: the table as docs/conformance.md)"

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one or run make PYTHON=/path/to/python3"; exit 2; }
	@echo "==> installing locked Python packages into .venv (about a minute the first time)"
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON)"; exit 2; }
	@$(PYTHON) -m venv .venv || { echo "error: python venv failed; on Debian: apt-get install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q -j 0 dst devnet || true
	@touch $@

$(TOOLS_STAMP): $(STAMP) devnet/toolchain/tools.py
	@$(BIN)/python -m devnet.toolchain.tools
	@touch $@

setup: $(TOOLS_STAMP) ## packages into .venv, anvil and toxiproxy-server into .tools

tools: $(TOOLS_STAMP) ## the same as setup

devnet: setup ## a running network with a live board, until Ctrl-C; DETACH=1 returns once blocks are sealed
	@$(BIN)/devnet up --operators $(OPERATORS) --slot-seconds $(SLOT) --dir $(DIR) --port-offset $(OFFSET) \
		$(if $(BACKEND),--backend $(BACKEND)) $(if $(DETACH),--detach)

down: setup ## stop the network of DIR and remove what it made
	@$(BIN)/devnet down --dir $(DIR)

chaos: setup ## one scenario: make chaos NAME=leader-kill RUNS=20 BACKEND=process SEED=7
	@$(BIN)/devnet chaos run $(NAME) --runs $(RUNS) --dir $(DIR) $(if $(SEED),--seed $(SEED)) \
		$(if $(BACKEND),--backend $(BACKEND)) \
		$(if $(filter-out file,$(origin OPERATORS)),--operators $(OPERATORS)) \
		$(if $(filter-out file,$(origin SLOT)),--slot-seconds $(SLOT)) \
		$(if $(filter-out 0,$(OFFSET)),--port-offset $(OFFSET))

scenarios: setup ## every scenario on BACKEND (default process), on a network of its own
	@$(BIN)/devnet chaos all --backend $(or $(BACKEND),process) --dir $(DIR)-scenarios \
		$(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(OFFSET)),--port-offset $(OFFSET))

fmt: $(STAMP) ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix -q .

lint: $(STAMP) ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict, tests included
	@$(BIN)/mypy dst devnet tests

contracts: $(STAMP) ## import-linter: who may import whom
	@$(BIN)/lint-imports

unit: $(STAMP) ## unit and property tests
	@$(BIN)/pytest tests/unit -n 2 --dist loadgroup $(PYTEST_ARGS)

sim: $(STAMP) ## simulation, about three minutes; one run again: make sim SEED=7 N=4, make sim TAPE=FILE
	@$(if $(TAPE),$(BIN)/python -m devnet.sim --tape $(TAPE),$(if $(SEED),\
		$(BIN)/python -m devnet.sim --seeds $(SEED):$(shell echo $$(( $(SEED) + 1 ))) --n $(N) --verbose,\
		export SIM_SEEDS_N4=$(SIM_SEEDS); $(SIMULATION)))

sim-long: $(STAMP) ## long campaign, then the kill table: HEIGHTS=1000000 SCHEDULES=1000000 WORKERS=tcp://HOST:8786
	@$(BIN)/python -m devnet.sim.long --heights $(HEIGHTS) --schedules $(SCHEDULES) --n $(N) \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(SEED),--first-seed $(SEED))
	@$(BIN)/pytest tests/simulation/test_mutants.py -n 2

sim-twins: $(STAMP) ## every scenario of Twins, and ten times the gate's seeds of liars who never stop
	@SIM_LONG=1 $(BIN)/pytest tests/simulation/test_after_the_heal.py -n 2 $(PYTEST_ARGS)

sim-model: $(STAMP) ## the Quint model of one height alone, and that the code follows it
	@$(BIN)/pytest tests/simulation/test_model.py $(PYTEST_ARGS)

sim-recovery: $(STAMP) ## how long one fault stalls four operators, in virtual time: make sim-recovery SEEDS=120
	@$(BIN)/python -m devnet.sim.recovery --seeds $(SEEDS)

judges: $(STAMP) ## outside judges on committed fixtures: EEST, rpc-compat, ethereum/tests, random blocks
	@$(BIN)/pytest tests/conformance $(PYTEST_ARGS)

conformance: $(STAMP) ## all that can be had of them: make conformance EEST=DIR ETHEREUM_TESTS=DIR GETH=FILE
	@rm -f $(COUNTS)
	@$(BIN)/pytest tests/conformance --record $(COUNTS) $(PYTEST_ARGS)
	@$(BIN)/python -m tests.conformance --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) \
		$(if $(EEST),--eest $(EEST)) $(if $(ETHEREUM_TESTS),--tests $(ETHEREUM_TESTS)) \
		$(if $(GETH),--geth $(GETH)) --record $(COUNTS) $(if $(WRITE),--page docs/conformance.md)

geth: ## geth 1.15.11 for the random blocks of the judges, into .tools (needs Go; two minutes)
	@GOBIN=$(CURDIR)/.tools/geth-1.15.11 GOFLAGS=-modcacherw \
		go install github.com/ethereum/go-ethereum/cmd/geth@v1.15.11

platforms: $(STAMP) ## the lock installs from wheels alone on every platform and Python promised
	@$(BIN)/python -m tests.platform.lock_check

e2e: setup ## end to end on processes
	@$(BIN)/pytest tests/e2e -m "not docker" $(PYTEST_ARGS)

e2e-docker: setup ## end to end on containers (needs a Docker Engine)
	@$(BIN)/pytest tests/e2e -m docker $(PYTEST_ARGS)

test: setup ## unit, simulation, outside judges and end to end on processes
	@$(BIN)/pytest tests/unit -n 2 --dist loadgroup $(PYTEST_ARGS)
	@export SIM_SEEDS_N4=$(GATE_SEEDS); $(SIMULATION)
	@$(BIN)/pytest tests/conformance $(PYTEST_ARGS)
	@$(BIN)/pytest tests/e2e -m "not docker" $(PYTEST_ARGS)

check: lint types contracts platforms test ## what a reviewer runs

bench: setup ## the benchmarks; writes docs/benchmarks.md
	@$(BIN)/python -m devnet.bench

bench-execution: $(STAMP) ## worst blocks, import beside stock py-evm; writes docs/benchmarks-execution.md
	@$(BIN)/python -m tests.benchmarks.execution --write

bench-lag: $(STAMP) ## what a member that floods its link costs an operator's event loop
	@$(BIN)/python -m tests.benchmarks.lag

bench-ports: $(STAMP) ## what crowded ports and hostile log searches cost others
	@$(BIN)/python -m tests.benchmarks.ports

docs: $(STAMP) ## pages written from the code: docs/{json-rpc,refusals,faults,mutants,checkers}.md, the schema of scenarios
	@$(BIN)/python -m dst.execution.rpc.page
	@$(BIN)/python -m dst.middleware.refusals_page
	@$(BIN)/python -m devnet.scenarios.schema
	@$(BIN)/python -m tests.simulation.kill_table --write
	@$(BIN)/python -m tests.unit.checkers.page --write

lock: $(STAMP) ## renew requirements.lock
	@$(BIN)/uv pip compile --universal --generate-hashes --all-extras --no-header --no-emit-index-url --no-annotate \
		-q pyproject.toml -o requirements.lock

clean: ## caches, runs and reports
	@rm -rf runs reports .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find dst devnet tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## and the virtual environment, the tools and the Docker images
	@rm -rf .venv .tools
	@images=$$(docker images -q dst-devnet 2>/dev/null) && [ -n "$$images" ] && docker rmi -f $$images >/dev/null || true
