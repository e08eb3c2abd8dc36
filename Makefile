# `make demo` and `make test` are each complete on a fresh machine; `make setup` is the step they share.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= cuda13,masks,dev
# BENCH=1 installs the libraries that `objabn bench` compares with, too; then `make test-all` compares explainers with theirs.
ifeq ($(BENCH),1)
override EXTRAS := $(EXTRAS),bench
endif
BIN    := $(VENV)/bin
# What is installed is part of the name, so that asking for more installs more.
comma  := ,
STAMP  := $(VENV)/.objabn-setup-$(subst $(comma),-,$(EXTRAS))

.PHONY: setup demo test test-all lint clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

demo: $(STAMP)
	$(BIN)/objabn demo

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Many tests start a Python of their own, which should find what the one before has compiled.
test test-all: export PYTHONDONTWRITEBYTECODE =

test: lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: lint
	$(BIN)/python -m pytest -n 2

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
