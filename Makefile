# Two commands do all the set-up: `make demo` and `make test`. Nothing is installed outside .venv.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
CODE := arcane_framework tests examples benchmarks docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# `make demo SINK=s3://bucket/lake` or `SINK=container@lake`: where the files go, and what that needs.
comma := ,
SINK_EXTRA := $(if $(findstring @,$(SINK)),$(comma)azure,$(if $(filter s3://% s3a://%,$(SINK)),$(comma)s3))
SINK_OPTION := $(if $(SINK),--sink '$(SINK)')

.PHONY: demo
demo: $(VENV)/.stamp-examples$(SINK_EXTRA) ## Run the example stream on a public data set
	@$(BIN)/python -m examples.flights $(SINK_OPTION)

.PHONY: demo-rest
demo-rest: $(VENV)/.stamp-examples$(SINK_EXTRA) ## Read the same data set from a REST API
	@$(BIN)/python -m examples.rest_flights $(SINK_OPTION)

.PHONY: test
test: lint ## Run every check: lint, types, layers, tests
	$(BIN)/python -m pytest -n $(WORKERS)

.PHONY: lint
lint: $(VENV)/.stamp-dev ## Run the checks that run no code
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: $(VENV)/.stamp-dev ## Put the code into its form
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: prove
prove: $(VENV)/.stamp-dev ## Run the full fault proof (long)
	$(BIN)/python -m tests.proof

.PHONY: bench
bench: $(VENV)/.stamp-dev ## Measure against the stated figures
	$(BIN)/python -m benchmarks

.PHONY: clean
clean: ## Remove the environment, the demo's data and all else that was generated
	rm -rf $(VENV) demo-data build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.stamp-%: $(VENV)/.stamp-venv pyproject.toml
	@echo "Installing into $(VENV) (once; takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
