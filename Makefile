# Two commands for a newcomer: `make quickstart` and `make test`. Needs Python 3.11 or 3.12 and make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RELIABILITY ?= docs/reliability.md
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart test check faults slow manual clean

quickstart: $(VENV)/installed  ## a prompt to a 3D object, with the bundled model
	$(BIN)/python launch.py --config configs/latent-nerf.yaml --prompt "a red mushroom"

test: $(VENV)/installed-dev  ## lint, and the whole suite without the markers slow, gpu and fault
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

faults: $(VENV)/installed-dev  ## what breaks things on purpose; writes docs/reliability.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m fault --reliability=$(RELIABILITY)

slow: $(VENV)/installed-dev  ## what takes longer
	$(BIN)/python -m pytest -m slow

manual: $(VENV)/installed-dev  ## the manual as static pages: docs/_build/index.html
	$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build

check: $(VENV)/installed-dev  ## types, about a minute on one core
	$(BIN)/pyright

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 11), (3, 12)) else \
	    f"make: {sys.executable} is Python {v[0]}.{v[1]}; Python 3.11 or 3.12 is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	touch $@

clean:  ## forget the environment; runs are kept
	rm -rf $(VENV)
