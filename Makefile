# Two commands: `make demo` and `make test`. Everything lives in .venv and demo/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check format rehearsal clean whole

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[flows,dev]'
	touch $@

demo: $(STAMP)  ## simulate, fit, run one night through Prefect, compare with the truth
	$(BIN)/python -m flows.demo --folder demo

test: $(STAMP)  ## all tests, on all cores; the tests of one file stay together and share what they built
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

whole: $(STAMP)  ## the slow suites whole: every night of a replay, many kills, a ledger that is away for a minute, a report of 1,500 volcanoes
	WHOLE_SUITES=1 $(BIN)/python -m pytest tests/test_42_kill.py tests/test_52_backfill.py tests/test_53_side_by_side.py tests/test_54_faults.py tests/test_59_report_browser.py

check: $(STAMP)  ## style, types, import law
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

rehearsal: $(STAMP)  ## simulated nights of 150, 500 and 1,500 volcanoes, one after the other (hours)
	for n in 150 500 1500; do $(BIN)/insar-anomaly rehearse --volcanoes $$n --folder rehearsal-$$n || exit 1; done

clean:
	rm -rf $(VENV) demo
