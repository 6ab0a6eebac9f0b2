# The two commands to know: make demo, make test. Each does all its own set-up.
.DEFAULT_GOAL := help
.PHONY: help demo test setup docker image unit local-llm lint format types matrix bench-startup bench-history bench-fork bench-scale bench-sandbox clean bench-peers

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: setup ## watch an agent fix a real bug in a real container; no key needed
	@if scripts/ensure-docker && scripts/ensure-image; then \
		exec .venv/bin/agentkit demo; \
	else \
		echo '==> No Docker sandbox (the reason is above): going on with the local one, without isolation.' >&2; \
		exec .venv/bin/agentkit demo --sandbox local; \
	fi

test: setup ## style, types and all tests, those with containers too
	@if ! { scripts/ensure-docker && scripts/ensure-image; }; then \
		[ "$$AGENTKIT_REQUIRE_DOCKER" != 1 ] || exit 1; \
		echo '==> No Docker (the reason is above): tests that need it are skipped.' >&2; \
	fi
	@scripts/ensure-test-tools
	@if ! scripts/ensure-postgres >/dev/null; then \
		[ "$$AGENTKIT_REQUIRE_POSTGRES" != 1 ] || exit 1; \
		echo '==> No PostgreSQL (the reason is above): tests that need it are skipped.' >&2; \
	fi
	@if ! scripts/ensure-local-llm; then \
		[ "$$AGENTKIT_REQUIRE_LOCAL_LLM" != 1 ] || exit 1; \
		echo '==> No local model (the reason is above): tests that need it are skipped.' >&2; \
	fi
	@scripts/test

setup: ## .venv with the package and all tools
	@scripts/setup-venv

docker: setup ## a Docker engine that answers, installed where we may
	@scripts/ensure-docker

image: docker ## the sandbox's base image
	@scripts/ensure-image

unit: setup ## tests that need no Docker
	@scripts/test -n auto -m 'not docker'

local-llm: setup ## the tests on a real llama.cpp server with a real small model (165 MB)
	@scripts/ensure-local-llm
	@AGENTKIT_REQUIRE_LOCAL_LLM=1 scripts/test tests/models/local -rA

matrix: ## tests that need no Docker, on every supported Python found here
	@scripts/test-matrix

lint: setup ## style
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

.PHONY: bench-store kills
bench-store: setup ## what the session store costs, and its fsyncs a turn
	@scripts/ensure-test-tools
	@.venv/bin/python -m benchmarks.store

kills: setup ## 200 random SIGKILLs of sessions at work, beside those at every boundary
	@AGENTKIT_KILLS=200 .venv/bin/pytest tests/durability

format: setup ## put the style right where that is mechanical
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

types: setup ## pyright, strict
	@.venv/bin/pyright

bench-history: setup ## what a turn costs as the history grows, beside others
	@.venv/bin/python -m benchmarks.history

bench-fork: setup ## what the first request of each kind of fork reads from the cache
	@.venv/bin/python -m benchmarks.fork

bench-peers: setup ## agentkit beside other frameworks
	@scripts/ensure-peers
	@.venv/bin/python -m benchmarks.peers --write

bench-scale: setup ## what a cluster for evaluations needs
	@.venv/bin/python -m benchmarks.scale

bench-startup: setup ## what importing and starting cost
	@.venv/bin/python -m benchmarks.startup

bench-sandbox: setup ## a command in the sandbox beside the other ways to run one
	@.venv/bin/python -m benchmarks.sandbox

clean: ## remove caches, build results and the matrix's environments; .venv stays
	rm -rf build dist .venvs .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: bench-ladder
bench-ladder: setup ## does the ladder pay: failure stories, and a simulation
	@.venv/bin/python -m benchmarks.ladder

.PHONY: bench-page
bench-page: setup ## the web page on long sessions in Chromium: loading, scrolling, size
	@scripts/ensure-test-tools
	@.venv/bin/python -m benchmarks.page

.PHONY: bench-serve
bench-serve: setup ## what the HTTP service adds: turns, latency, memory, loop lag
	@.venv/bin/python -m benchmarks.serve
