# make demo and make test each go from a fresh clone to a result; make help lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FOLDER ?= $(HOME)/.cache/firth-bench
CORE := $(wildcard core/src/*.rs core/src/*/*.rs) core/Cargo.toml core/Cargo.lock pyproject.toml

.PHONY: help install dev demo test lint format docs bench bench-grok bench-learn bench-maps bench-search bench-transformer clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

install: $(VENV)/.installed  ## make .venv and install firth with its maps; then .venv/bin/firth runs
	@echo "firth is installed: $(BIN)/firth --help"

dev: $(VENV)/.dev  ## the same, with what the tests and linters need

demo: $(VENV)/.installed  ## learn from this machine's docstrings, ask, map
	$(BIN)/firth demo

test: $(VENV)/.dev  ## every test: Rust, Python, doctests, the documents' examples
	cargo test --release --quiet --manifest-path core/Cargo.toml
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/.dev  ## formatters, linters, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	cargo fmt --check --manifest-path core/Cargo.toml
	cargo clippy --release --quiet --manifest-path core/Cargo.toml --all-targets --all-features -- -D warnings

format: $(VENV)/.dev  ## let the formatters write
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cargo fmt --manifest-path core/Cargo.toml

docs: $(VENV)/.dev  ## write docs/cli.md from the commands' --help
	$(BIN)/python docs/cli.py > docs/cli.md

bench: $(VENV)/.dev  ## start and conversion against their peers
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python bench/start.py
	$(BIN)/python bench/convert.py
	$(BIN)/python bench/read.py

bench-learn: $(VENV)/.dev  ## learning against its peers (hours; needs FOLDER as bench/README.md has it)
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python bench/learn.py --folder $(FOLDER)

bench-maps: $(VENV)/.dev  ## maps against their peers (hours; needs FOLDER as bench/README.md has it)
	$(BIN)/python -m pip install --quiet --group bench-maps
	$(BIN)/python bench/maps.py --folder $(FOLDER)

bench-search: $(VENV)/.dev  ## exact search against its peers (an hour or two; needs FOLDER as bench/README.md has it)
	$(BIN)/python -m pip install --quiet --group bench-search
	$(BIN)/python bench/search.py --folder $(FOLDER)

bench-grok: $(VENV)/.dev  ## grokking: the paper's table for three seeds, a step beside torch's where it is installed (minutes)
	$(BIN)/python bench/grok.py

bench-transformer: $(VENV)/.dev  ## a language model beside counts and word2vec (half an hour; needs FOLDER as bench/README.md has it)
	$(BIN)/python bench/transformer.py --folder $(FOLDER)

clean:  ## remove what make made
	rm -rf $(VENV) core/target build dist firth/*.so

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("firth needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@command -v cargo >/dev/null || { echo "firth's core is written in Rust: install it (https://rustup.rs), then run make again"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.installed: $(BIN)/python $(CORE)
	$(BIN)/python -m pip install --quiet --editable '.[maps]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group test --group lint
	@touch $@
