# vascodb: prepare, check, show, measure. `make` alone lists what can be made.

VENV := .venv
STAMP := $(VENV)/.installed

# Further Debian packages to install; N stands for PostgreSQL's major version.
EXTRA_PACKAGES ?=

.PHONY: help install system test demo bench docs clean

help:
	@echo "make install   install what is missing: PostgreSQL with Q3C, SExtractor, PSFEx, $(VENV)"
	@echo "make test      install, then check style and types and run all tests"
	@echo "make demo      install, then find a vanished star on a simulated plate"
	@echo "make bench     install, then measure against the other tools"
	@echo "make docs      install, then write docs/reference anew from the code"
	@echo "make clean     remove $(VENV), caches and build products (never a database)"

install: $(STAMP)

system:
	@scripts/install-system.sh $(EXTRA_PACKAGES)

$(STAMP): pyproject.toml | system
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || "$$(scripts/find-python.sh)" -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	@touch $@

test: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest -n auto --dist loadfile

demo: install
	$(VENV)/bin/vascodb demo

bench: install
	$(VENV)/bin/python bench/run.py
	$(VENV)/bin/python bench/bulk.py
	$(VENV)/bin/python bench/match.py
	$(VENV)/bin/python bench/full_run.py

docs: install
	$(VENV)/bin/python docs/generate.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
