# Needs nothing but python3 (3.11 or later, with venv and pip) and make.
# Every target stands up .venv by itself the first time, and again when the
# locked dependencies or pyproject.toml have changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

# One stamp per lock file. dev.lock holds all of demo.lock, at the same versions, and
# adapters.lock adds to it what experts elsewhere are reached through.
DEMO := $(VENV)/.demo
DEV := $(VENV)/.dev
ADAPTERS := $(VENV)/.adapters

# What runoffs are measured against pins an older NumPy than ours, so measuring has an
# environment of its own inside .venv.
BENCHES := $(VENV)/bench
BENCH := $(BENCHES)/.installed

# PyTorch is in no lock, since its build is the machine's own choice: one that PYTHON has is
# used; else this is installed, for which `make test-moe TORCH=...` names a build without CUDA.
TORCH ?= torch>=2.6
MOES := $(VENV)/moe
MOE := $(MOES)/.installed
QUIETLY := -m pip --disable-pip-version-check --no-input -qq install
IN_MOE := $(MOES)/bin/python $(QUIETLY)
IN_BENCH := $(VENV)/bench/bin/python $(QUIETLY)
IF_TORCH = $$($(PYTHON) -c 'import torch' 2>/dev/null && echo --system-site-packages)

CLIENTS := openai a2a-sdk mcp httpx2 httpx

.DEFAULT_GOAL := help
.PHONY: help demo test explore test-adapters test-mcp-conformance test-moe mutants soak soak-council lint bench quality conformance lock clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help: ## print this list
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST)

demo: $(DEMO) ## run the panel with liars in it on real cases, then verify its ledger
	@$(BIN)/quorate demo

test: $(DEV) ## run the test suite
	@$(BIN)/python -m pytest

explore: $(DEV) ## run the tests with random examples, other ones each time
	@QUORATE_EXPLORE=1 $(BIN)/python -m pytest

# Without these libraries the same tests are skipped by `make test`; here none may be.
WITH_PEERS := tests/adapters tests/cards tests/mcp_server tests/hub/experts/test_http.py \
	tests/council/test_executor_webhooks.py tests/council/test_executor_mcp.py \
	tests/council/test_notify.py::test_an_address_is_told \
	tests/council/test_notify.py::test_an_address_where_nobody_listens_is_tried_again \
	tests/cli/test_cli_council_peers.py \
	tests/cli/test_cli_council_hooks.py::test_an_address_is_told_with_its_token \
	tests/cli/test_cli_council_execute.py::test_an_address_gets_the_order \
	tests/hub/test_panel_tables.py::test_every_kind_is_made_as_it_is_declared \
	tests/hub/test_panel_tables.py::test_a_number_as_the_confidence_of_a_chat_is_declared \
	tests/hub/test_panel_tables.py::test_an_expert_that_cannot_be_made_is_told_with_its_line \
	tests/hub/experts/test_secret.py::test_a_server_that_echoes_it_escaped_puts_nothing_on_record

test-adapters: $(ADAPTERS) ## test what speaks OpenAI's API, A2A, MCP and webhooks, with real peers
	@$(BIN)/python -c 'from importlib.metadata import version as v; \
		print("with", *(f"{name} {v(name)}" for name in "$(CLIENTS)".split()), sep="  ")'
	@QUORATE_ALL_ADAPTERS=1 $(BIN)/python -m pytest $(WITH_PEERS)

test-mcp-conformance: $(ADAPTERS) ## the official conformance suite against the MCP server, where node is to be had
	@$(BIN)/python tests/mcp_server/conformance.py

# The same tests as in `make test`, where what needs PyTorch, Transformers or numba is skipped.
test-moe: $(MOE) ## test fusion, routing and the gate with PyTorch, Transformers and numba
	@$(MOES)/bin/python -c 'import torch, numba, transformers; \
		print("with  torch", torch.__version__, " CUDA", torch.version.cuda or "none", \
		" numba", numba.__version__, " transformers", transformers.__version__)'
	@QUORATE_SKIP_NONE=1 $(MOES)/bin/python -m pytest tests/fusion tests/routing tests/moe

# MUTANTS: options of tests/mutants/run.py, such as --sample 12 --seed x, or --only ID.
mutants: $(DEV) ## plant defects one at a time; each has to fail the tests named for it
	@$(BIN)/python tests/mutants/run.py $(MUTANTS)

SECONDS ?= 300
soak: $(DEV) ## random panels and hostile experts, killed and resumed (SECONDS=300 SEED=any)
	@$(BIN)/python tests/soak/run.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

PROPOSALS ?= 500
soak-council: $(DEV) ## four processes vote and execute, and are killed (PROPOSALS=500)
	@QUORATE_COUNCIL_PROPOSALS=$(PROPOSALS) $(BIN)/python -m pytest -n 0 \
		tests/council/test_council_processes.py

lint: $(DEV) ## check style, types and layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(BENCH) ## measure, and print the ratios (also in benchmarks/results.json)
	@$(BENCHES)/bin/python -m benchmarks

quality: $(DEV) ## count right and wrong decisions under liars, by each rule
	@$(BIN)/python -m benchmarks.quality

conformance: $(DEV) ## write the vectors for other implementations again
	@$(BIN)/python -m conformance.generate

# The locks hold hashes for every platform and no address of any index.
# `make lock UPGRADE=--upgrade` moves the pins to the newest releases.
RESOLVE = uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --quiet $(UPGRADE)
COMPILE = $(RESOLVE) pyproject.toml
lock: ## resolve the dependencies again (needs uv on PATH)
	@command -v uv >/dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 2; }
	$(COMPILE) --extra demo --extra build --extra dev --extra insight --extra plots \
		--extra reports -o requirements/dev.lock
	$(COMPILE) --extra demo --extra build -c requirements/dev.lock --no-annotate -o requirements/demo.lock
	$(COMPILE) -c requirements/dev.lock --no-annotate -o requirements/base.lock
	$(COMPILE) --extra adapters --extra peers -c requirements/dev.lock --no-annotate \
		-o requirements/adapters.lock
	# Without PyTorch and all that it would bring; no package here asks for it.
	$(COMPILE) --extra build --extra demo --extra dev --extra fast --extra insight --extra plots --extra reports \
		--extra transformers -c requirements/dev.lock --no-annotate -o requirements/moe.lock
	$(RESOLVE) requirements/fusion-peers.in --no-deps --no-annotate -o requirements/fusion-peers.lock
	$(RESOLVE) requirements/node.in --no-deps --no-annotate -o requirements/node.lock
	$(RESOLVE) requirements/triton.in --no-deps --no-annotate -o requirements/triton.lock
	# All as in dev.lock but NumPy, of which the peers' own libraries want an older one.
	awk '/^[a-z]/ { other = !/^numpy==/ } other' requirements/dev.lock > requirements/others.tmp
	$(COMPILE) --extra build --extra bench --extra transformers -c requirements/others.tmp --no-annotate \
		-o requirements/bench.lock; status=$$?; rm -f requirements/others.tmp; exit $$status

clean: ## remove the environment, caches and measurements
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -f benchmarks/results*.json benchmarks/results*.md
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO) $(DEV): $(VENV)/.%: requirements/%.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "quorate needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name a later one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up $(VENV) from requirements/$*.lock (a minute or two, once) ..."
	@$(PYTHON) -m venv $(VENV) || { \
		echo "python3 -m venv failed; Debian and Ubuntu have it in python3-venv." >&2; exit 2; }
	@$(PIP) install --require-hashes -r requirements/$*.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(DEMO) $@

$(ADAPTERS): requirements/adapters.lock $(DEV)
	@echo "adding requirements/adapters.lock to $(VENV) ..."
	@$(PIP) install --require-hashes -r $<
	@touch $@

# Heavy, so kept apart. The peers are there to be compared with: what they ask for beyond
# what is here is not installed.
$(MOE): requirements/moe.lock requirements/fusion-peers.lock requirements/triton.lock $(DEV)
	@echo "setting up $(MOES) from requirements/moe.lock and $(TORCH) (minutes, once) ..."
	@$(PYTHON) -m venv $(IF_TORCH) $(MOES)
	@$(IN_MOE) --require-hashes -r $<
	@$(MOES)/bin/python -c 'import torch' 2>/dev/null || $(IN_MOE) "$(TORCH)"
	@$(MOES)/bin/python -c 'import triton' 2>/dev/null || \
		$(IN_MOE) --require-hashes --no-deps -r requirements/triton.lock
	@$(IN_MOE) --require-hashes --no-deps -r requirements/fusion-peers.lock
	@$(IN_MOE) --no-deps --no-build-isolation --editable .
	@touch $@

$(BENCH): requirements/bench.lock requirements/fusion-peers.lock $(DEV)
	@echo "setting up $(BENCHES) from requirements/bench.lock and $(TORCH) (minutes, once) ..."
	@$(PYTHON) -m venv $(IF_TORCH) $(BENCHES)
	@$(IN_BENCH) --require-hashes -r $<
	@$(BENCHES)/bin/python -c 'import torch' 2>/dev/null || $(IN_BENCH) "$(TORCH)"
	@$(IN_BENCH) --require-hashes --no-deps -r requirements/fusion-peers.lock
	@$(IN_BENCH) --no-deps --no-build-isolation --editable .
	@touch $@
