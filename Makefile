# A newcomer's commands. Needs Python 3.11 to 3.13 and make; everything else goes into .venv.
#   make study TORCH=cpu    the first time, without a GPU: PyTorch without CUDA, 4.5 GB less
PYTHON ?= python3
BIN := .venv/bin
# Which PyTorch uv installs: cpu, cu130, auto, ... Empty: the one of your package index.
TORCH ?=
# As many processes as there are cores, at most 4: each has torch and mlflow in memory.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python

.PHONY: study test test-slow check docs pictures notebooks clean

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

docs: .venv/.ready  ## the generated pages, and the site in site/; a broken link is an error
	$(BIN)/python -m tests.docs.generated_pages
	$(BIN)/zensical build --clean --strict

pictures: .venv/.ready  ## the pictures of README and docs, from a new study; needs Chromium
	$(BIN)/python -m tests.docs.pictures

notebooks: .venv/.ready  ## runs docs/tutorials/*.ipynb and stores their outputs; needs Chromium
	$(BIN)/python -m tests.docs.notebooks
	$(BIN)/python -m tests.docs.generated_pages

# requirements.txt pins what was tried; pyproject.toml says what should work. As constraints, the
# pins of CUDA's libraries count only where PyTorch asks for them.
.venv/.ready: pyproject.toml requirements.txt
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f'harness needs Python 3.11 to 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip uninstall --quiet --python $(BIN)/python harness  # its name in older checkouts
	$(UV) --constraint requirements.txt $(if $(TORCH),--torch-backend=$(TORCH)) --editable '.[dev]' \
	|| { echo "$(if $(TORCH),TORCH=$(TORCH): the wheels of https://download.pytorch.org/whl/$(TORCH) could not be installed; run make without TORCH,the packages could not be installed; see above)" >&2; exit 1; }
	touch $@

clean:
	rm -rf .venv build dist site *.egg-info
