# One entry for every chore, the same here and in CI. `make help` lists them.
# Needs Python 3.11 or newer, git and make; everything else is made or named by `make setup`.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run test check format openapi bench chaos load stack password reset lock clean

# Some images set this for their own size's sake; here every command would compile Django and all its company anew.
unexport PYTHONDONTWRITEBYTECODE

# The first interpreter that really is new enough: a name on PATH may be a shim without a Python behind it.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { command -v $$name; break; }; done)
BIN := .venv/bin
# What `check` runs, the longest first: side by side on two cores, and all of them even where one refuses.
CHECKS := types migrations imports lint formatted pinned
.PHONY: $(CHECKS)
CHECK_types = $(BIN)/mypy config immune wargaming reviews deploy
CHECK_migrations = $(BIN)/python manage.py makemigrations --check --dry-run
CHECK_imports = $(BIN)/lint-imports
CHECK_lint = $(BIN)/ruff check .
CHECK_formatted = $(BIN)/ruff format --check .
CHECK_pinned = $(BIN)/python deploy/pins.py
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:  ## virtual environment, dependencies and bubblewrap: what run and test both need
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.11 or newer on PATH; install one, or name it: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" deploy/provision.py

run: setup  ## the embedded profile on http://127.0.0.1:8003: one process, no server needed
	@$(BIN)/python manage.py migrate --verbosity 0
	@exec $(BIN)/python -m config.embedded

test: setup  ## the checks, then the whole suite, on SQLite and PostgreSQL
	@$(BIN)/python -m tests.servers provide
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m tests

check: setup  ## lint, format, types, import contract, migrations, pins
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync $(CHECKS)

$(CHECKS):
	$(CHECK_$@)

format: setup  ## rewrite the sources the way `check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: setup  ## write docs/openapi.json as the API is now
	$(BIN)/python manage.py spectacular --format openapi-json --validate --fail-on-warn --file docs/openapi.json

bench: setup  ## the benchmarks, each beside a peer or a limit of the same run
	@$(BIN)/python -m bench

chaos: setup  ## kills and faults against private servers, the long form
	@$(BIN)/python -m bench.chaos

load: setup  ## the load runs
	@$(BIN)/python -m bench.load

stack: setup  ## the production processes without containers, against local servers
	@exec $(BIN)/python deploy/stack.py

password: setup  ## a new password for the first account
	@$(BIN)/python manage.py password

reset: setup  ## forget everything the embedded profile keeps in var/
	@$(BIN)/python manage.py reset

lock: setup  ## compile the pinned requirements from the short ones
	$(LOCK) -o requirements.txt requirements.in
	$(LOCK) -o requirements-dev.txt requirements-dev.in
	for tool in wargaming/renewal/pinned/*.in; do $(LOCK) --universal -o $${tool%.in}.txt $$tool; done

clean:  ## remove what setup and the tools made; var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
