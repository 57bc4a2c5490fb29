# A newcomer's commands. Needs Python 3.11 to 3.13 and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
# As many processes as there are cores, at most 4: each has torch and mlflow in memory.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

.PHONY: study test test-slow check clean

study: .venv/.ready  ## 50 trials on the bundled digits: no network, no server, about a minute
	$(BIN)/harness run-study quickstart

test: check  ## ruff, mypy --strict, pytest: at most 5 minutes on 2 cores
	$(PYTEST) -m "not slow"

test-slow: .venv/.ready  ## what takes longer: real servers, real sweeps
	$(PYTEST) -m slow

check: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# requirements.txt pins what was tried; pyproject.toml says what should work.
.venv/.ready: pyproject.toml requirements.txt
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f'harness needs Python 3.11 to 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
