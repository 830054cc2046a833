# Everything below works on a machine that has only make and Python 3.11 or newer:
# the first target that needs it makes .venv and installs into it.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-faults test-server bench lint lock clean

# Texts, layers, options, the registry of tables, the SQL scanner and the structure after every
# migration: what most changes break first. It took 21 s of processor time with 2 workers.
QUICK_TESTS := tests/aperture $(wildcard tests/*/test_view.py) tests/backup/test_script.py \
	tests/extensions/test_rules.py tests/relink/test_matching.py \
	tests/migrations/test_structure.py tests/migrations/test_frozen.py \
	$(addprefix tests/foundation/test_,conninfo.py format.py help.py layers.py settings.py \
	sql_scanner.py)

# What depends on the server's version or pgvector's, for APERTURE_DB_TEST_SERVER=DIR.
SERVER_TESTS := tests/extensions tests/health tests/vacuum

help:
	@echo "make demo        start a private database server with a sample library"
	@echo "make test        run the tests; ARGS='-k stats' chooses some"
	@echo "make test-quick  run the tests that find most mistakes, in under a minute"
	@echo "make test-faults end commands at all points where the tests can (half an hour)"
	@echo "make test-server  run those that depend on the server (see tests/README.md)"
	@echo "make bench       run the comparisons with other programs; ARGS=startup chooses one"
	@echo "make lint        check style and types, and find dead code"
	@echo "make lock        renew what the image pins: docker/*requirements.txt, Debian"
	@echo "make clean       remove what the targets above have made here"
	@echo
	@echo "make demo PYTHON=python3.12 uses another Python than python3."

demo: $(VENV)/demo.installed
	@$(RUN)/aperture-db demo $(ARGS)
	@echo "The program is $(RUN)/aperture-db" >&2

test: $(VENV)/dev.installed
	$(RUN)/python -m pytest -n auto $(ARGS)

test-quick: $(VENV)/dev.installed
	$(RUN)/python -m pytest -n auto $(QUICK_TESTS) $(ARGS)

test-faults: $(VENV)/dev.installed
	$(RUN)/python -m pytest --all-points tests/faults/test_kills.py $(ARGS)

test-server: $(VENV)/dev.installed
	$(RUN)/python -m pytest -n auto $(SERVER_TESTS) $(ARGS)

bench: $(VENV)/dev.installed
	$(RUN)/python -m bench $(ARGS)

lint: $(VENV)/dev.installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/vulture
	$(RUN)/hadolint Dockerfile
	$(RUN)/shellcheck docker/*.sh scripts/*.sh

# For all Pythons and systems that the images have. Read the difference before you commit it.
LOCK := $(RUN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-header --quiet
lock: $(VENV)/pip.installed
	$(RUN)/python -m pip install --quiet uv
	$(LOCK) --output-file docker/requirements.txt pyproject.toml
	$(LOCK) --output-file docker/build-requirements.txt docker/build-requirements.in
	sed -i '1i # Made by `make lock`: exact versions and hashes of what the image installs.' \
		docker/requirements.txt docker/build-requirements.txt
	$(RUN)/python docker/pin_image.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make an installation run again when the dependencies may have changed.
$(VENV)/demo.installed: pyproject.toml $(VENV)/pip.installed
	@echo "Installing aperture-db into $(VENV)"
	@$(RUN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/dev.installed: pyproject.toml $(VENV)/demo.installed
	@echo "Installing what the tests need into $(VENV)"
	@$(RUN)/python -m pip install --quiet --group dev
	@touch $@

# --group needs pip 25.1, which is newer than what most systems bring.
$(VENV)/pip.installed:
	@command -v $(PYTHON) >/dev/null || { \
		echo "error: there is no $(PYTHON)" >&2; \
		echo "next:  install Python 3.11 or newer, or name it: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $$($(PYTHON) --version 2>&1) is too old, 3.11 or newer is needed" >&2; \
		echo "next:  name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "error: $(PYTHON) can't make virtual environments (module ensurepip is missing)" >&2; \
		echo "next:  on Debian and Ubuntu: apt install python$$version-venv" >&2; \
		exit 1; }
	@echo "Making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@
