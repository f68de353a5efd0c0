# Two commands are enough: `make demo` and `make test`. Everything is installed into .venv from the committed constraints.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINES := .venv-engines
MINOR := $(shell $(PYTHON) -c 'import sys; print(f"{sys.version_info[0]}{sys.version_info[1]}")')
CONSTRAINTS := constraints/py$(MINOR).txt
# A file stays in one process, which shares its fixtures; in the order of folders the last files are short, so no core waits long.
CORES := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# Threads that wait for others of their process must not keep a core from another process; what tests start is compiled once.
QUIETLY := OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=
# Installed first and by itself: another machine takes a build of its own (TORCH='torch --index-url …'), so no constraints name it.
TORCH := torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help setup demo check test test-fast engines test-engines coverage kills leakage bench bench-peers bench-levels fuzz format lock evidence clean

help: ## Say what can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(CONSTRAINTS):
	@echo "No constraints for Python $(MINOR): use 3.11 or 3.12, for example make PYTHON=python3.12 $(MAKECMDGOALS)." >&2; exit 2

$(VENV)/core: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable . 2>&1 | grep -v '^WARNING: Location' || true
	@$(BIN)/python -c 'import epic22.cli.main' && touch $@

$(VENV)/dev: $(VENV)/core
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) $(TORCH) 2>&1 | grep -v '^WARNING: Location' || true
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]' 2>&1 | grep -v '^WARNING: Location' || true
	@$(BIN)/python -c 'import pytest, mypy, hypothesis, httpx2, torch, onnxruntime' && touch $@

# Installed anew where the constraints change; compiled where it is imported, which of TensorFlow's 16,000 files is a small part.
ENGINES_INSTALL := $(ENGINES)/bin/python -m pip install --quiet --no-compile --constraint $(CONSTRAINTS) --constraint constraints/engines.txt
ENGINES_LIBRARIES := epic22 keras tensorflow jax torch onnxscript pytest xdist hypothesis
$(ENGINES)/installed: constraints/engines.txt $(CONSTRAINTS)
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES_INSTALL) $(TORCH) 2>&1 | grep -v '^WARNING: Location' || true
	$(ENGINES_INSTALL) --editable '.[engines,neural]' pytest pytest-xdist hypothesis 2>&1 | grep -v '^WARNING: Location' || true
	@$(ENGINES)/bin/python -c 'import sys; from importlib.util import find_spec; sys.exit([name for name in sys.argv[1:] if not find_spec(name)] or None)' $(ENGINES_LIBRARIES) && touch $@

setup: $(VENV)/dev ## Install everything for development into .venv.

demo: $(VENV)/core ## Raw rows in; a compared, registered, explained, served model out.
	EPIC22_HOME=demo/home $(BIN)/epic22 demo --folder demo

check: $(VENV)/dev ## Lint, formats, types, imports one way, every public thing documented.
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet src

# On Python 3.11 coverage makes a test take half as long again, so the slow half is not watched. No docstring's example is slow.
test: $(VENV)/dev ## The whole suite on every core: the fast half with coverage, then the slow half.
	$(BIN)/coverage erase
	$(QUIETLY) $(BIN)/coverage run -m pytest -m 'not slow' $(CORES)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=72
	$(QUIETLY) $(BIN)/python -m pytest -m slow $(CORES) --durations=15 tests

coverage: $(VENV)/dev ## The whole suite with coverage, of processes that tests start too.
	$(BIN)/coverage erase
	$(QUIETLY) $(BIN)/coverage run -m pytest $(CORES)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-fast: $(VENV)/dev ## The fast half.
	$(QUIETLY) $(BIN)/python -m pytest -m 'not slow' $(CORES)

engines: $(ENGINES)/installed ## Install the engines of Keras into an environment of their own.

test-engines: $(ENGINES)/installed ## Networks in Keras on TensorFlow, JAX and PyTorch, in an environment of their own.
	$(QUIETLY) $(ENGINES)/bin/python -m pytest $(CORES) --durations=5 tests/engines

kills: $(VENV)/dev ## Trainings, direct and as jobs, and an ingest killed at 30 random moments, a search and networks at 10; the suite does it at 3, 6 and 2.
	EPIC22_KILL_MOMENTS=30 $(BIN)/python -m pytest tests/e2e/test_killed_ingest.py
	EPIC22_KILL_MOMENTS=10 $(BIN)/python -m pytest tests/e2e/test_killed_search.py tests/e2e/test_killed_network_training.py
	EPIC22_KILL_MOMENTS=30 $(BIN)/python -m pytest tests/e2e/test_killed_job.py
	EPIC22_KILL_MOMENTS=5 $(BIN)/python -m pytest tests/e2e/test_killed_worker.py
	PYTHONPATH=src:. $(BIN)/python benchmarks/disturbed_jobs.py --scratch build/disturbed
	PYTHONPATH=. $(BIN)/python benchmarks/killed_trainings.py --scratch build/killed

leakage: $(VENV)/dev ## Every future after 200 random moments replaced, a task; the suite does it at 40.
	EPIC22_MOMENTS=200 $(BIN)/python -m pytest tests/contract/test_point_in_time.py

bench: $(VENV)/dev ## Features on simulated portfolios, planted faults, ingest and point in time at 10 million readings; resumable.
	$(BIN)/python benchmarks/portfolio.py --large
	$(BIN)/python -m benchmarks.faults
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/point_in_time.py
	$(BIN)/python benchmarks/single_row.py
	$(BIN)/python benchmarks/batch_predictions.py --minutes 60
	$(BIN)/python benchmarks/network_throughput.py
	$(BIN)/python benchmarks/external_memory.py
	$(BIN)/python benchmarks/tuning.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/plain_train.py

bench-peers: $(VENV)/dev ## Ours beside AutoGluon, FLAML, H2O, mljar, XGBoost on ten public sets; hours, resumable; ONLY="--minutes 60".
	PYTHONPATH=benchmarks $(BIN)/python -m peers $(ONLY)

bench-levels: $(VENV)/dev ## How often noise is called certain, and what intervals hold: drawn predictions, then whole trainings; hours, resumable.
	nice -n 15 $(BIN)/python benchmarks/levels.py verdicts
	nice -n 15 $(BIN)/python benchmarks/levels.py advice --tables 400
	nice -n 15 $(BIN)/python benchmarks/levels.py components --tables 4000
	nice -n 15 $(BIN)/python benchmarks/levels.py trainings --tables 200

format: $(VENV)/dev ## Format and mend what can be mended.
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

fuzz: $(VENV)/dev ## 100,000 tables of random dialect, notation and markers, written and read back, one in 500 trained; hours, resumable; benchmarks/results/fuzz.json.
	$(BIN)/python benchmarks/fuzz.py --processes 2

evidence: $(VENV)/core ## The real public data (EPIC22_PUBLIC_DATA, default ../shared/data); resumable; writes docs/evidence*.md, docs/benchmarks.md.
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/nab.py
	$(BIN)/python benchmarks/anomaly_rates.py
	$(BIN)/python benchmarks/panels.py
	$(BIN)/python benchmarks/azure_pdm.py
	$(BIN)/python benchmarks/lbnl.py
	$(BIN)/python benchmarks/cmapss.py
	$(BIN)/python benchmarks/ai4i.py

# What the engines need beside the rest: theirs are resolved with the constraints of 3.11, and named where those do not.
lock: ## Resolve the constraints again, for every platform at once, and for macOS arm64 alone as a check (needs uv).
	for v in 11 12; do \
	  uv pip compile pyproject.toml --extra dev --universal --python-version 3.$$v --no-header --no-annotate --no-emit-index-url -o constraints/py3$$v.txt; \
	  sed -i.before -E '/^(torch|triton|nvidia-|cuda-)/d' constraints/py3$$v.txt && rm constraints/py3$$v.txt.before; \
	  MACOSX_DEPLOYMENT_TARGET=14.0 uv pip compile pyproject.toml --extra dev --python-platform aarch64-apple-darwin --python-version 3.$$v -c constraints/py3$$v.txt --only-binary :all: >/dev/null; \
	done
	cp constraints/engines.txt constraints/engines.all
	uv pip compile pyproject.toml --extra engines --universal --python-version 3.11 -c constraints/py311.txt --no-header --no-annotate --no-emit-index-url -o constraints/engines.all
	awk -F'==' 'NR == FNR {is_known[$$1]; next} !($$1 in is_known)' constraints/py311.txt constraints/engines.all > constraints/engines.txt && rm constraints/engines.all
	MACOSX_DEPLOYMENT_TARGET=14.0 uv pip compile pyproject.toml --extra engines --python-platform aarch64-apple-darwin --python-version 3.11 -c constraints/py311.txt -c constraints/engines.txt --only-binary :all: >/dev/null

clean: ## Remove what was made, not the environment.
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
