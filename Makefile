# `make demo` and `make test` are all that a newcomer needs; both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test setup clean

demo: setup
	. $(BIN)/activate && mlflow run . --env-manager local

test: setup
	$(BIN)/python -m pytest

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "asrx needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	@echo 'Setting up $(VENV): 2 to 4 minutes, 6.5 GB'
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) .asrx mlflow.db asrx.db* mlruns/*
