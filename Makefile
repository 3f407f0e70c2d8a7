# ASBench: `make help` lists the targets. Each does its own set-up on a machine with Python >= 3.11 and make.
PYTHON ?= python3
BIN    := .venv/bin
SETUP  := .venv/.installed
UV     := $(shell command -v uv 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup demo check format quick test bench faults docs site dist golden clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"ASBench needs Python >= 3.11, and {sys.executable} is {v.major}.{v.minor}: make PYTHON=python3.11")'
	@echo "set-up: installing into .venv (a few minutes the first time)"
ifdef UV
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
else
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
endif
	@touch $@

setup: $(SETUP) ## make .venv with everything the project needs

demo: $(SETUP) ## the whole path on generated data: render, train, score, report
	$(BIN)/asbench demo

check: $(SETUP) ## format, lint, strict types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(SETUP) ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

quick: $(SETUP) ## a change's first answer, in under a minute: lint, and the tests not marked slow
	$(BIN)/ruff check .
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow" $(addprefix --ignore=tests/,benchmarks fitting grid study)

test: $(SETUP) ## every test that needs no GPU and no downloaded data
	$(BIN)/pytest -q -n 2 --dist worksteal

bench: $(SETUP) ## ratios against named baselines, measured in this run
	$(BIN)/python -m tests.benchmarks

faults: $(SETUP) ## faults injected, counted: damage, kills, full disks, odd files; minutes, half an hour with ARGS=--long
	nice $(BIN)/python -m tests.faults $(ARGS)

docs: $(SETUP) ## write the reference pages from the code
	$(BIN)/python -m docs.build

site: $(SETUP) ## build the documentation site into build/site; installs Sphinx first
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[site]'
	$(BIN)/python -m docs.site build/site

dist: $(SETUP) ## build wheel and sdist into dist/
	$(BIN)/python -m build --outdir dist .

golden: $(SETUP) ## rewrite the golden digests (say why in the commit)
	$(BIN)/python -m tests.golden

clean: ## remove what make and the tools made; stores and runs stay
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
