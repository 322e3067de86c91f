# Every target makes the environment it needs, once: .venv holds it, the stamps in it say what is installed.

.DEFAULT_GOAL := help
.PHONY: help test check fmt demo shop bench bench-full clean
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check install --constraint constraints.txt
ARGS ?=
# pyright runs on the Node.js its extra brings, whatever the machine has.
export PYRIGHT_PYTHON_GLOBAL_NODE := 0

help:
	@echo 'make test    run the tests            (ARGS="-k name" is passed to pytest)'
	@echo 'make check   lint, format, types, import contracts'
	@echo 'make demo    a tour over 20,000 real flights'
	@echo 'make shop    a web shop to click through (ARGS="--port 0" takes a free port)'
	@echo 'make bench   measure beside hand-written code and other mappers, 20,000 rows (ARGS="--help" lists options)'
	@echo 'make bench-full  the same with 336,776 rows, and how times grow'
	@echo 'make fmt     format and fix what can be fixed'
	@echo 'make clean   remove the environment and what the tools left'

test: .venv/.dev
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fmt: .venv/.dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

demo: .venv/.demo
	@$(BIN)/python -m examples.flights $(ARGS)

shop: .venv/.shop
	@$(BIN)/python -m examples.shop $(ARGS)

bench: .venv/.bench
	@$(BIN)/python -m benchmarks $(ARGS)

bench-full: .venv/.bench
	@$(BIN)/python -m benchmarks --rows full $(ARGS)

clean:
	rm -rf .venv .venv-peers .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed: apt install python3 python3-venv (or make PYTHON=/path/to/python ...)'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'The venv module is missing: apt install python3-venv'; exit 1; }
	@echo 'making .venv ...'
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.demo: .venv/.made pyproject.toml constraints.txt
	@echo 'installing redisom_lite ...'
	@$(PIP) --editable '.[memory,embedded,cli]'
	@touch $@

.venv/.shop: .venv/.made pyproject.toml constraints.txt
	@echo 'installing redisom_lite and what the shop needs ...'
	@$(PIP) --editable '.[shop]'
	@touch $@

.venv/.dev: .venv/.made pyproject.toml constraints.txt
	@echo 'installing redisom_lite and the tools ...'
	@$(PIP) --editable '.[dev]'
	@touch $@ .venv/.demo .venv/.shop

.venv/.bench: .venv/.made pyproject.toml constraints.txt
	@echo 'installing redisom_lite and what the benchmarks compare ...'
	@$(PIP) --editable '.[bench]'
	@touch $@ .venv/.demo
