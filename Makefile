# `make run` and `make test` set everything up on first use; later runs install nothing and need no network.
# Another Python than python3:  make clean && make run PYTHON=python3.12
# On Linux torch comes with CUDA, gigabytes of it, unless an index of CPU builds is named:
#   make parity TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Tests in one process, with a debugger say:  make test-fast PYTEST_FLAGS="-x --pdb"
# Written for GNU make 3.81, the one macOS has.

BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST_FLAGS := -n 2 --dist loadfile
PARITY := .venv-parity
TORCH := 2.13.0
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11)

.PHONY: help run test test-fast parity lint lock clean

define FIND_PYTHON
python=; \
for candidate in $(PYTHONS); do \
    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
done; \
if [ -z "$$python" ]; then \
    echo "rlsp_jax needs Python 3.11 or newer and found none as: $(PYTHONS). Install one, or name it with PYTHON=/path/to/python3." >&2; \
    exit 1; \
fi;
endef

help:
	@echo "make run        tokenizer, SFT, PPO, evaluation and report of the Countdown experiment, into runs/countdown_rlsp"
	@echo "make test       linters, types, floors and all tests"
	@echo "make test-fast  the tests that are not slow"
	@echo "make parity     models drawn at random, held against torch and transformers, which it installs apart"
	@echo "make lint       ruff, pyright and the floors"
	@echo "make lock       resolve requirements.lock anew (needs uv)"
	@echo "make clean      remove the environments and caches; runs/ stays"

run: $(INSTALLED)
	$(BIN)/rlsp train experiments/countdown_rlsp.py --workdir runs/countdown_rlsp

test: lint
	$(BIN)/pytest $(PYTEST_FLAGS)

test-fast: $(INSTALLED)
	$(BIN)/pytest -m "not slow" $(PYTEST_FLAGS)

parity: $(PARITY)/.installed
	$(PARITY)/bin/pytest -n 2 --dist worksteal tests/parity

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

lock:
	uv pip compile --universal --python-version 3.11 --extra dev --upgrade --no-header --quiet --output-file requirements.lock setup.py

clean:
	rm -rf .venv $(PARITY) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find rlsp_jax tests experiments -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock first, then the package itself without looking at its requirements again.
$(INSTALLED): requirements.lock setup.py
	@set -e; $(FIND_PYTHON) \
	echo "Setting up .venv with $$($$python --version); this happens once."; \
	rm -rf .venv; \
	if uv --version >/dev/null 2>&1; then \
	    uv venv --quiet --python "$$python" .venv; \
	    install="uv pip install --quiet --python $(BIN)/python"; \
	else \
	    $$python -m venv .venv; \
	    install="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; \
	fi; \
	$$install -r requirements.lock; \
	$$install --no-deps --no-build-isolation -e .; \
	touch $@

# torch by pip, from its own index where one is named, then the lock but for mpmath, of which torch wants an older one.
$(PARITY)/.installed: requirements.lock setup.py tests/parity/requirements.txt
	@set -e; $(FIND_PYTHON) \
	echo "Setting up $(PARITY) with $$($$python --version), torch and transformers; this happens once."; \
	rm -rf $(PARITY); \
	$$python -m venv $(PARITY); \
	install="$(PARITY)/bin/python -m pip install --quiet --disable-pip-version-check"; \
	$$install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH); \
	grep -v '^mpmath==' requirements.lock >$(PARITY)/requirements.lock; \
	$$install -r $(PARITY)/requirements.lock -r tests/parity/requirements.txt; \
	$$install --no-deps --no-build-isolation -e .; \
	touch $@
