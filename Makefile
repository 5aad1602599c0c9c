# make demo   hear the difference: sets up .venv, plays a noisy recording through the live engine, writes demo/
# make test   everything the tests need, then the tests
# make lint   ruff and mypy
# make clean  remove what the others made

PYTHON ?= python3
TORCH := torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-input

.PHONY: demo test lint clean

demo: $(VENV)/demo.stamp
	$(BIN)/rtae demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n logical --dist loadfile -m "not alone"; side=$$?; \
	$(BIN)/python -m pytest -m alone && exit $$side

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml hatch_build.py | $(BIN)/python
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/test.stamp: pyproject.toml hatch_build.py Makefile | $(BIN)/python
	$(PIP) '$(TORCH)'
	$(PIP) --editable '.[demo,dev,live,peers,train]'
	touch $@ $(VENV)/demo.stamp
