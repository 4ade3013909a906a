# Everything runs in .venv, built from the pinned and hashed files in requirements/.

export PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2
SEEDS := 1 2 3 4 5

# One named step: its name before it, and again where it fails.
step = @echo "== $(1)"; $(2) || { echo "FAILED: $(1)" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help setup lint test demo bench soak pages lock clean

help: ## List what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

setup: .venv/.ready ## Build .venv with the pinned packages and Tocsin itself (PYTHON=python3)

.venv/.ready: requirements/dev.txt pyproject.toml src/tocsin/__init__.py scripts/setup
	@scripts/setup
	@touch $@

lint: setup ## Style, types and floors
	$(call step,ruff check,$(BIN)/python -m ruff check)
	$(call step,ruff format,$(BIN)/python -m ruff format --check)
	$(call step,mypy,$(BIN)/python -m mypy)
	$(call step,lint-imports,$(BIN)/lint-imports)

test: lint ## Lint, then all tests: units, doctests, journeys, the code blocks of the pages
	$(call step,pytest,$(PYTEST))

demo: setup ## The main job in a minute, on generated telemetry
	@$(BIN)/tocsin demo

bench: setup ## Run the benchmarks into benchmarks/results
	@$(BIN)/python -m benchmarks

soak: setup ## Fuzz, kill and flip in the long form, then all tests again under other seeds (SEEDS="1 2 3")
	@echo "== long forms"; TOCSIN_SOAK=1 $(PYTEST) -m soak
	@for seed in $(SEEDS); do echo "== seed $$seed"; \
	TOCSIN_SEED=$$seed $(PYTEST) --hypothesis-seed=$$seed || exit 1; done

pages: setup ## Write the presets' pages into docs/presets anew
	@for name in $$($(BIN)/tocsin presets list --json | $(PYTHON) -c 'import json, sys; print(*json.load(sys.stdin))'); do \
	mkdir -p docs/presets/$$(dirname $$name); $(BIN)/tocsin presets show $$name > docs/presets/$$name.md || exit 1; done

lock: ## Pin the newest versions into requirements/*.txt (PYTHON=python3.11)
	@scripts/lock

clean: ## Remove .venv and everything else that was built
	@rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
