# `make search` runs a real architecture search; `make test` runs the tests. Both install what they need into ./.venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/digits

.PHONY: search test slow check lint audit clean

search: $(VENV)/.installed
	$(BIN)/morphogen search examples/digits.toml --out $(OUT)

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu"

slow: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow and not gpu"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# known weaknesses of the pinned dependencies; needs the index's own service, and says what it could not ask for
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit -r constraints.txt --no-deps --disable-pip --progress-spinner off

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"morphogen needs Python 3.11 or later; $(PYTHON) is {sys.version.split()[0]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) .venv-audit .mypy_cache .pytest_cache .ruff_cache
