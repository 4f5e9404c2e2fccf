# Each target is one line of what it does. State is under .local/, or $INSIGHTS_HOME.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RATE ?= 10
LENGTH ?= 60
SEED ?= 1
HISTORIES ?= 200
ROUNDS ?= 3
SCALE ?= 1
REPEATS ?= 3
PORT ?= 8501
# Seconds to wait for another process that writes the same tables.
export WRITER_WAIT := $(or $(WAIT),$(WRITER_WAIT))

BIN := .venv/bin
INSTALLED := .venv/.installed
# What leads to the stack, where it is up; otherwise the command itself says that it isn't.
# A path without a slash before it would be looked for in PATH, or taken for an option.
WITH_STACK := stack="$${INSIGHTS_HOME:-./.local}/env"; case "$$stack" in /*) ;; *) stack="./$$stack" ;; esac; [ ! -f "$$stack" ] || . "$$stack";

.PHONY: help setup demo up down status logs simulate ingest build live optimize reconcile resnapshot dashboard queries docs bi bundle-check lint types test parity fuzz bench lock
.DEFAULT_GOAL := help

help: ## what there is to do
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 21

setup: $(INSTALLED) ## virtual environment, pinned packages, jars

$(INSTALLED): requirements.lock pyproject.toml local/ivy.xml local/jars.sha256
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "This needs Python 3.11; say where it is: make setup PYTHON=/path/to/python3.11")'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Packages, as locked in requirements.lock (minutes, the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile --requirement requirements.lock > .venv/pip.log 2>&1 \
		|| { echo "Could not download the packages. Check the network connection (log: .venv/pip.log) and run again: make setup" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m local jars
	@touch $@

demo: setup ## the whole chain: a bank's figures come out of Gold
	@$(BIN)/python -m local demo

up: setup ## start the stack, with the bank and its capture
	@$(BIN)/python -m local up

down: setup ## stop the stack; the data stays
	@$(BIN)/python -m local down

status: setup ## the services and their logs
	@$(BIN)/python -m local status

logs: setup ## follow the services' logs
	@$(BIN)/python -m local logs

simulate: setup ## some of the bank's life: SEED=1 RATE=10 (events a second) LENGTH=60 (seconds)
	@$(WITH_STACK) $(BIN)/python -m source simulate --seed $(SEED) --rate $(RATE) --length $(LENGTH)

ingest: setup ## Kafka to Bronze
	@$(WITH_STACK) $(BIN)/python -m ingestion

build: setup ## Silver, Gold and their tests
	@$(BIN)/dbt build

live: setup ## Gold follows the bank until Ctrl-C
	@$(BIN)/python -m local live

optimize: setup ## small files together, rows in the order of their keys; now and then, as the bank grows
	@$(BIN)/dbt run-operation optimize_tables

reconcile: setup ## is Silver and Gold what the bank says? After ingest and build; LSN=0/1A2B3C to wait for
	@$(WITH_STACK) $(BIN)/python -m reconcile $(if $(LSN),--lsn $(LSN))

resnapshot: setup ## a table again from the bank, while all runs: TABLE=transactions; some of it: KEYS=1,2,3 or WHERE="amount > 5"
	@$(WITH_STACK) $(BIN)/python -m reconcile resnapshot "$$TABLE" $${KEYS:+--keys "$$KEYS"} $${WHERE:+--where "$$WHERE"}

dashboard: setup ## Gold in the browser, until Ctrl-C: PORT=8501
	@$(WITH_STACK) $(BIN)/python -m dashboard serve --port $(PORT)

queries: setup ## the dashboards' queries, anew from dbt's metrics
	@$(BIN)/python -m dashboard queries

docs: setup ## every table and column, and where it comes from, in the browser
	@$(BIN)/dbt docs generate && $(BIN)/dbt docs serve --host 127.0.0.1

bi: setup ## the files for Power BI and Tableau, anew from the marts
	@$(BIN)/python -m bi

bundle-check: setup ## databricks.yml and resources/, without a workspace
	@PYTHONPATH=tests $(BIN)/python -m bundle

lint: setup ## Python's style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

test: setup lint ## everything, on a stack of its own
	@$(BIN)/python -m pytest

parity: setup ## the same on Databricks' adapter: every table equal, and what only a workspace can answer
	@$(BIN)/python -m pytest tests/python/integration/test_parity.py

fuzz: setup ## random histories through the whole chain: HISTORIES=200 SEED=1 ROUNDS=3 (runs of dbt)
	@HISTORIES=$(HISTORIES) ROUNDS=$(ROUNDS) SEED=$(SEED) $(BIN)/python -m pytest -s tests/python/integration/test_histories.py

bench: setup ## figures beside references, into docs/benchmarks/: SCALE=1 (of the bank) REPEATS=3; an hour
	@$(BIN)/python -m benchmarks run --scale $(SCALE) --repeats $(REPEATS) $(if $(KEEP),--keep)

lock: setup ## renew requirements.lock and local/jars.sha256
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-strip-extras --no-emit-index-url --no-header --python-version 3.11 --all-extras --upgrade pyproject.toml --output-file requirements.lock
	@$(BIN)/python -m local lock-jars
