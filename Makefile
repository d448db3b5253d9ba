# `make demo` and `make test` set themselves up, each from nothing. `make help` lists the rest.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV ?= uv
COMPILE = $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
PIP = $(BIN)/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help demo images test soak lint bench pictures dist requirements setup setup-dev clean

help:
	@echo 'make demo          set up, then work on a practice bug: live on a terminal, headless without one'
	@echo 'make test          set up, then the whole test suite'
	@echo 'make images        what the tests of agents need on a Docker engine, beforehand: minutes, once'
	@echo 'make soak          the tests that take minutes to hours; FUZZ=600 fuzzes each target for so long, in seconds'
	@echo 'make lint          formatting, lint, types, import contracts'
	@echo 'make bench         the benchmarks'
	@echo 'make pictures      draw the pictures of the screens anew, when a screen has changed'
	@echo 'make dist          source distribution and wheel, in dist/'
	@echo 'make requirements  pin anew what pyproject.toml asks for (needs uv)'
	@echo 'make clean         remove what was built'
	@echo 'Another Python:    make demo PYTHON=python3.12'

demo: $(VENV)/.run
	@$(BIN)/multitrack demo

images: $(VENV)/.dev
	@$(BIN)/python -m tests.images

# What is compiled is kept, also where the environment says otherwise: each test process would compile everything anew.
test soak: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not soak'

soak: $(VENV)/.dev
	@$(BIN)/pytest -m soak --timeout 7200

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@.ci/requirements

bench: $(VENV)/.dev
	@for name in startup long_conversation proxy docker panes tree search playback observer; do $(BIN)/python -m bench.$$name || exit; done

pictures: $(VENV)/.dev
	@$(BIN)/python docs/pictures/draw.py

dist: $(VENV)/.dev
	@$(BIN)/python -m build --no-isolation --outdir dist .

requirements:
	@command -v $(UV) >/dev/null || { echo 'uv is missing: pip install uv, or make requirements UV=/path/to/uv' >&2; exit 1; }
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) pyproject.toml --extra dev -c requirements.txt -o requirements-dev.txt
	printf 'hatchling\neditables\n' | $(COMPILE) - -c requirements-dev.txt -o requirements-build.txt

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev

clean:
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# Stamps: a second call installs nothing until what they depend on has changed.

$(VENV)/.made:
	@test -n '$(PYTHON)' || { echo 'Multitrack needs Python 3.11 or later, and found none. Install it, or name it: make demo PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Multitrack needs Python 3.11 or later; $(PYTHON) is older, or missing. Name another: make demo PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo '$(PYTHON) has no venv module. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements.txt requirements-build.txt pyproject.toml app/multitrack
	@echo 'Installing what Multitrack needs into $(VENV) …'
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --require-hashes -r requirements-build.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
# An interpreter line can't hold a space: where the folder's name has one, the shell finds the interpreter.
	@case "$(CURDIR)" in *\ *) { printf '%s\n' '#!/bin/sh' "'''exec' \"\$$(dirname \"\$$0\")/python\" \"\$$0\" \"\$$@\"" "' '''"; \
		sed 1d app/multitrack; } >$(BIN)/multitrack;; esac
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	@echo 'Installing what its tests need …'
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@
