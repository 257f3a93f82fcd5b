# Everything runs from .venv, which is made from the lock files (with hashes) by whatever Python >= 3.11 is found.
#
#   make demo [HOSTS=2000]      a simulated estate, a campaign on it, its report and its score
#   make wheelhouse             all wheels of an installation, to carry to where there is no network
#   make score                  ten estates of 1,000 hosts and one of every fault: each reason held against the truth
#   make image [BASE_IMAGE=...] the images of docker-compose.yml; PIP_CA=FILE where pip needs an authority of its own
#   make compose-demo [LAN=4]   docker-compose.yml on this machine's engine: a simulated estate in two zones, a campaign on it
#   make test-compose           the same for real, as root on Debian, on an engine of its own in a network namespace of its own
#   make test [WORKERS=4]       everything, real sshd, smbd and AD included (as root on Debian: installs them)
#   make check                  three minutes: lint, fast tests, 20 s of simulation
#   make lint                   ruff and mypy --strict
#   make mutate [ONLY=PATH]     change each row of the classification in turn: does a test notice?
#   make properties             the tests that draw their examples, with 1,000 new ones each
#   make simulate SEEDS=100000  that many seeded schedules of the pure parts, and a tenth of the real coroutines
#   make bench                  CPU per login and logins per second: engines beside their peers, the whole product by process;
#                               the vault's client; what a target costs beside its login, from 1,000 to 100,000 of them;
#                               runs that wait, and their memory
#   make bench-store [ROWS=N]   SQLite and PostgreSQL under a run of a million targets (or N): rows a second, a report's questions
#   make soak [CPU=1800]        a steady load for so many seconds of CPU: does anything grow?
#   make bench-profile          CPU by phase of a login, and what each measure of the fast paths is worth
#   make fuzz [SECONDS=600]     SSH and SMB servers that send anything, for so many seconds of CPU
#   make lockout [HOSTS=5000]   that many hosts of one domain and a wrong secret: is the account locked? has it the rate that its budget allows?
#   make chaos [RUNS=20]        so many seeds of an installation in zones of its own, to which things are done (as root)
#   make lock                   resolve the lock files anew from pyproject.toml
#   make docs                   docs/reasons.md and docs/metrics.md, anew from their tables
#   make clean                  remove what make has made

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
SEEDS ?= 100000
# What has been compiled once serves every process that the tests start, whatever the environment says of that.
export PYTHONDONTWRITEBYTECODE :=
# Tests run in processes of their own, a file at a time, the long ones of acceptance first; two more than there are
# cores, since half of their time they wait.
WORKERS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 1) + 2)))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip -qq --no-input --disable-pip-version-check
LOCKED := --require-hashes -r
# Files that decide what is installed. README.md is metadata only, and so no reason to install again.
PROJECT := pyproject.toml requirements-build.lock

.PHONY: help demo image compose-demo test-compose test check brief-simulation score lint bench bench-store bench-profile soak fuzz lockout chaos mutate properties simulate lock docs wheelhouse clean

help:
	@sed -n 's/^#   //p' Makefile

demo: .venv/.runtime
	@$(BIN)/keymuster demo $(if $(HOSTS),--hosts $(HOSTS))

# DOCKER_BUILD: further options of `docker build`.
BUILD_IMAGE = DOCKER_BUILDKIT=1 docker build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	$(if $(PIP_CA),--secret id=pip_ca$(comma)src=$(PIP_CA)) $(if $(PIP_CONF),--secret id=pip_conf$(comma)src=$(PIP_CONF)) $(DOCKER_BUILD)
comma := ,
image:
	@$(BUILD_IMAGE) --target runtime --tag $${KEYMUSTER_IMAGE:-keymuster:latest} .
	@$(BUILD_IMAGE) --target lab --tag $${KEYMUSTER_LAB_IMAGE:-keymuster-lab:latest} .

compose-demo: image
	@LAN=$(or $(LAN),4) DMZ=$(or $(DMZ),1) deploy/compose/lab.sh demo

test-compose: .venv/.dev
	@tests/compose/run.sh

score: .venv/.runtime
	@$(BIN)/python -m tests.bench.score

# Lint first, since it is quick; pytest last, so that its closing line closes the output.
test: .venv/.dev
	@tests/peers/install.sh
	@$(MAKE) --no-print-directory lint
	@$(PYTEST)

# Lint and simulation are one process each, and so are done side by side.
check: .venv/.dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint brief-simulation
	@$(PYTEST) -q -m "not peer and not slow"

brief-simulation: .venv/.dev
	@$(BIN)/python -m tests.simulation --seconds 20

lint: .venv/.dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "ruff format would change files: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy

simulate: .venv/.dev
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

properties: .venv/.dev
	@$(PYTEST) -q -m "hypothesis and not peer and not slow" --hypothesis-profile=search --timeout 600

mutate: .venv/.dev
	@$(BIN)/python -m tests.mutation $(ONLY)

bench: .venv/.dev
	@tests/bench/peers.sh
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench.scale
	@$(BIN)/python -m tests.bench.latency

soak: .venv/.dev
	@$(BIN)/python -m tests.bench.soak $(if $(CPU),--cpu $(CPU))

bench-store: .venv/.dev
	@$(BIN)/python -m tests.bench.store $(if $(ROWS),--rows $(ROWS))

bench-profile: .venv/.dev
	@$(BIN)/python -m tests.bench.engines --profile

fuzz: .venv/.dev
	@$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS))

chaos: .venv/.dev
	@tests/peers/install.sh
	@$(BIN)/python -m tests.chaos --runs $(or $(RUNS),20)

lockout: .venv/.dev
	@$(BIN)/python -m tests.bench.lockout $(if $(HOSTS),--hosts $(HOSTS))

# Each file is resolved under the one before it, so that a version is the same in all of them. Options and proxies of
# the machine's own pip configuration shape the resolution but never reach the files.
COMPILE := CUSTOM_COMPILE_COMMAND='make lock' .venv-lock/bin/pip-compile --quiet --upgrade --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# Other people's programs for the tests, each in an environment of its own: tests/peers/environments.py.
PROGRAMS := $(basename $(wildcard tests/peers/*.in))
lock:
	@scripts/venv.sh .venv-lock
	@.venv-lock/bin/python -m pip install -qq --no-input --disable-pip-version-check pip-tools
	@$(COMPILE) --only-build-deps --build-deps-for editable -o requirements-build.lock pyproject.toml
	@$(COMPILE) -o requirements.lock pyproject.toml
	@$(COMPILE) --extra postgres -c requirements.lock -o requirements-postgres.lock pyproject.toml
	@$(COMPILE) --extra dev -c requirements-postgres.lock -o requirements-dev.lock pyproject.toml
	@for name in $(PROGRAMS); do $(COMPILE) -o $$name.lock $$name.in; done
	@! grep -nE '://|file:/' requirements*.lock tests/peers/*.lock || { echo "a lock file names a registry or a path" >&2; exit 1; }

docs: .venv/.runtime
	@$(BIN)/keymuster reasons --markdown > docs/reasons.md
	@$(BIN)/python -m appliance.metric_names > docs/metrics.md

# Every wheel that an installation needs: `pip install --no-index --find-links wheelhouse keymuster[postgres]` where
# there is no network.
wheelhouse: .venv/.base
	@rm -rf wheelhouse
	@$(PIP) wheel --no-build-isolation $(LOCKED) requirements-postgres.lock --wheel-dir wheelhouse
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir wheelhouse .
	@echo "wheelhouse: $$(ls wheelhouse | wc -l) wheels, $$(du -sh wheelhouse | cut -f1)"

clean:
	rm -rf wheelhouse .venv .venv-lock .venv-peers *.egg-info build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find appliance orchestrator targets tests -name __pycache__ -prune -exec rm -rf {} +

# The stamps: a second call finds them newer than what they were made from, and installs nothing.
.venv/.base: $(PROJECT)
	@scripts/venv.sh .venv
	@$(PIP) install --no-build-isolation $(LOCKED) requirements-build.lock
	@touch $@

.venv/.runtime: .venv/.base requirements.lock
	@echo "Installing what Keymuster needs into .venv (once)..." >&2
	@$(PIP) install --no-build-isolation $(LOCKED) requirements.lock
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	@echo "Installing what its tests need into .venv (once)..." >&2
	@$(PIP) install --no-build-isolation $(LOCKED) requirements-dev.lock
	@touch $@
