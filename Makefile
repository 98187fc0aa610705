# The tests and what goes with them. `make test` is everything, on a fresh Debian machine, as root.

BIN := .venv/bin
PYTHON_FILES := setup.py bootstrap installer integration-tests

.PHONY: test test-unit test-integration lint unit integration bench

test:
	bash integration-tests/prepare.sh
	$(MAKE) lint unit integration

test-unit:
	bash integration-tests/prepare.sh unit
	$(MAKE) lint unit

test-integration:
	bash integration-tests/prepare.sh
	$(MAKE) integration

lint:
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	cd installer && ../$(BIN)/mypy --strict tljh

unit:
	$(BIN)/python -m pytest -n auto installer/tests bootstrap/tests

# ONLY="test_install.py -k damage" runs a part of them, ONLY="-n 0 ." one after the other
integration:
	cd integration-tests && ../$(BIN)/python -m pytest -c ../pyproject.toml --rootdir .. --durations=25 -vv \
		-n auto $(or $(ONLY),.)

bench:
	bash integration-tests/prepare.sh
	cd integration-tests && ../$(BIN)/python bench.py
	cd integration-tests && ../$(BIN)/python bench_plugins.py
