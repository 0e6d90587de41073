# Two commands do everything: `make run` (the main job on the embedded synthetic market) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test files run side by side in this many processes; each file stays in one, so that what it prepares is made once.
WORKERS ?= 2
STAMP := $(VENV)/.installed

.PHONY: run test lint format clean

run: $(STAMP)
	$(BIN)/python -m scripts.run_scalping_experiment

test: $(STAMP) lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Rebuilt whenever what is installed could have changed; a half-finished install never leaves the stamp behind.
$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Python {v[0]}.{v[1]} is too old; 3.11 or newer is needed (make PYTHON=python3.11)" if v < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,data,live,tracking,tune]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
