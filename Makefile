# Everything a person does with this repository. `make help` lists it; every target does its own set-up.
# Needed: make, Python 3.11 or newer with venv, Java 17 or newer, Maven 3.6 or newer (or a Kafka of your own, see docs/settings.md).
# Tests of operations on stores, of shared rates and of alerts also need PostgreSQL, nats-server, redis-server and promtool: `make servers` installs them if it may. Those of a schema registry need Java 21. Without them, outside CI, they are skipped.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TEST_PROCESSES := 5 # each has a Kafka of its own; they mostly wait
WITH_SERVERS := tests/integration tests/contract tests/faults
PAGES := tests/web

.DEFAULT_GOAL := help
.PHONY: help setup servers ui api wheel demo example test test-without-servers test-with-servers test-pages test-full unit lint types model model-test bench compare proof faults checker regressions mailbox attack fuzz soak alerts evidence docs manifests codes format lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) servers ui ## Install everything: into .venv exactly what requirements.lock says, the servers that tests need, the pages

$(READY): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "expected Python 3.11 or newer but $(PYTHON) is older. Name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet 'uv>=0.9,<1'
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes --strict requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m compileall -q streamflow streamflow_check agents # where nobody may write it later, every start would compile for two seconds
	@touch $@

servers: $(READY) ## Install the servers that tests need, where they are missing: PostgreSQL, NATS, Redis, Prometheus, an S3 server, a schema registry; for make test-full also Keycloak
	$(BIN)/python -m tests.servers install

# The web application. Node comes from a wheel; what a checkout needs to run does not include it.
UI := streamflow/web/index.html
UI_READY := $(VENV)/.ui-ready
UI_SOURCES := $(shell find web/src -type f) web/index.html web/vite.config.ts web/tsconfig.json web/size.mjs $(wildcard definitions/*/*.yaml)
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix web --silent

ui: $(UI) ## Build the web application into streamflow/web

$(UI): web/node_modules/.ready $(UI_SOURCES)
	$(NPM) run types
	$(NPM) run build
	@touch $@

web/node_modules/.ready: $(UI_READY) web/package.json web/package-lock.json
	$(NPM) ci
	@touch $@

$(UI_READY): $(READY) requirements-ui.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements-ui.lock
	@touch $@

api: web/node_modules/.ready ## Write the types of the web application from the API
	$(BIN)/python -m tests.web.api_document
	$(NPM) run api

wheel: $(READY) $(UI) ## Build the package into dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist .

demo: $(READY) $(UI) ## See it run, in the terminal and in a browser: [KEEP=1] it stays until Ctrl-C
	$(BIN)/streamflow demo $(if $(KEEP),--keep)

example: setup ## See an example on real servers: make example NAME=fraud-detection, minio-store or sales-report
	$(BIN)/python -m tests.examples $(NAME) $(ARGS)

test: lint ## Check everything: style, types, layers, and all tests against a real Kafka
	@$(MAKE) --no-print-directory --jobs 4 types test-without-servers test-with-servers test-pages

# Each process of a run collects all its tests: the many that need no server are one process, which never waits.
test-without-servers: $(READY)
	$(BIN)/python -m pytest $(WITH_SERVERS:%=--ignore=%) $(PAGES:%=--ignore=%)

# These mostly wait. Their lower priority lets the single process above end first; they can use both cores until the end.
test-with-servers: servers ui
	nice -n 5 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(WITH_SERVERS)

# One process: its tests share a Kafka, a sidecar and a browser.
test-pages: $(READY) ui
	nice -n 5 $(BIN)/python -m pytest $(PAGES)

test-full: export STREAMFLOW_TEST_ALL = 1
test-full: test model mailbox checker regressions ## make test and everything that takes longer, but the faults, the proof and the soak (an hour)

unit: $(READY) ## Only the tests that need no Kafka (seconds)
	$(BIN)/python -m pytest tests/unit

lint: $(READY) ## Style and layers
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(READY) ## Types
	$(BIN)/mypy

model: $(READY) ## Explore every interleaving of the engine's protocol, to the end (minutes); `make test` has a short version
	$(BIN)/python -m tests.model.protocol_model

bench: $(READY) ## Measure throughput and latency on this machine
	$(BIN)/python -m tests.bench

compare: $(READY) ## The benchmark of an earlier revision and of this one, as ratios: [BASE=39ee312] [ONLY="micro backlog"] [ROUNDS=3]
	$(BIN)/python -m tests.bench.compare --base $(or $(BASE),39ee312) --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

proof: $(READY) ## Crash workers under load and check every history
	$(BIN)/python -m tests.proof $(if $(EVIDENCE),--evidence)

faults: $(READY) ## Break everything by seeded schedules and judge it: [KINDS="..."] [SEEDS=1] [MIXED=4] [JOBS=2] [OUT=FILE]
	$(BIN)/python -m tests.faults --kinds "$(or $(KINDS),all)" --seeds $(or $(SEEDS),1) --mixed $(or $(MIXED),4) --jobs $(or $(JOBS),2) $(if $(OUT),--out $(OUT)) $(if $(EVIDENCE),--evidence)

checker: $(READY) ## Plant every bug in real workers and have the checker find it
	STREAMFLOW_FAULTS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) tests/unit/checker tests/integration/test_checker_planted.py

regressions: $(READY) ## Play what an earlier revision did wrong there and here: [BASE=39ee312] [ONLY="..."] [JSON=1]
	$(BIN)/python -m tests.regressions --base $(or $(BASE),39ee312) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json)

mailbox: $(READY) ## Play operations against the specification of event delivery, and against the engine: [OPS=2000000] [SEED=1]
	$(BIN)/python -m tests.model.mailbox.search --ops $(or $(OPS),2000000) --seed $(or $(SEED),1)
	$(BIN)/python -m tests.model.mailbox.search --product --ops $(or $(OPS),2000000) --seed $(or $(SEED),1)

fuzz: $(READY) ## Fuzz everything that reads what strangers write: [INPUTS=1000000] [SEED=1] [ONLY="expression workflow"]
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000) --seed $(or $(SEED),1) $(if $(ONLY),--only $(ONLY))

model-test: $(READY) ## The access to language models against a small real one, which is built once into the cache (ten minutes)
	$(BIN)/python -m tests.real_model

soak: $(READY) ## Load for hours with kills, restores and compaction; slopes of memory, files and threads: [HOURS=1]
	$(BIN)/python -m tests.faults.soak --hours $(or $(HOURS),1) $(if $(EVIDENCE),--evidence)

alerts: $(READY) servers ## A whole installation under a steady load, in which no alert may fire: [HOURS=1] [RATE=5/s]
	$(BIN)/python -m tests.alerts --hours $(or $(HOURS),1) --rate $(or $(RATE),5/s)

evidence: $(READY) ## Whether the long tests held on the committed code: collected by EVIDENCE=1 make proof, faults, soak
	$(BIN)/python -m tests.evidence

attack: $(READY) ## Attack decoys on loopback again, and report what was seen: [ONLY="half-sent ..."] [SEED=1]
	$(BIN)/python -m tests.attack $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

docs: $(READY) ## Write the documents that are made from code
	$(BIN)/streamflow settings docs > docs/settings.md
	$(BIN)/streamflow operations docs > docs/operations-reference.md
	$(BIN)/streamflow definitions functions --markdown > docs/functions.md
	$(BIN)/python -m streamflow.metrics.document > docs/metrics.md
	$(BIN)/python -m streamflow.wire.schemas schemas
	$(BIN)/python -m tests.deploy.values_schema > deploy/helm/streamflow/values.schema.json

manifests: $(READY) ## Render the chart into tests/deploy/rendered; builds helm once (minutes)
	$(BIN)/python -m tests.deploy.chart

codes: $(READY) ## Write the table of all codes into docs/bad-input.md, from the tests that bring them about (as long as make test)
	$(BIN)/python -m tests.codes

format: $(READY) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

lock: $(READY) ## Resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra dev --extra containers pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--constraint requirements.lock --group ui --output-file requirements-ui.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--group sbom --output-file requirements-sbom.lock

clean: ## Remove what was built here (not the Kafka in the per-user cache)
	rm -rf $(VENV) build dist var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
