# Two commands do all the set-up: `make demo` installs and runs the main job, `make test` installs and tests.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
BIN := $(VENV)/bin
PATIENTS ?= 1000
SEED ?= 2026
TESTS ?= usdlr tests
PYTEST_ADDOPTS ?=
MINUTES ?= 60

.PHONY: help install demo review test lint check fuzz format breast_lesions_usg lock clean

help:
	@echo "make demo    install, simulate a cohort, run the main job into $(RUNS)/demo"
	@echo "make review  install, simulate patients, fit a small model, serve the review page on this machine"
	@echo "make test    install, run every test"
	@echo "make check   install, then ruff, mypy --strict, import-linter, tests with coverage"
	@echo "make fuzz MINUTES=60   damaged files for everything that reads somebody else's"
	@echo "make breast_lesions_usg DATA=FOLDER   the main job on real images"

install:
	@$(PYTHON) .ci/install.py --venv $(VENV)

demo: install
	$(BIN)/usdlr simulate --out $(RUNS)/demo-cohort --patients $(PATIENTS) --seed $(SEED)
	$(BIN)/usdlr run experiments/demo/experiment.yaml --data.root $(RUNS)/demo-cohort --out $(RUNS)/demo
	@echo "Open $(CURDIR)/$(RUNS)/demo/report.html in a browser."

# Small enough to be ready in minutes; what the model says means nothing, which every page says.
review: install
	$(BIN)/usdlr simulate --out $(RUNS)/review-cohort --patients 120 --seed $(SEED)
	$(BIN)/usdlr run experiments/demo/experiment.yaml --config experiments/demo/ci.yaml \
	  --data.root $(RUNS)/review-cohort --out $(RUNS)/review-model
	$(BIN)/usdlr simulate --out $(RUNS)/review-patients --patients 40 --seed 7
	$(BIN)/usdlr ingest $(RUNS)/review-patients --centre simulated --out $(RUNS)/review-tables
	$(BIN)/usdlr review --bundle $(RUNS)/review-model/bundle --cases $(RUNS)/review-tables/cases.parquet \
	  --out $(RUNS)/review --on_uncertified zero_miss

breast_lesions_usg: install
	@test -n "$(DATA)" || { echo "error: name the folder of BrEaST-Lesions-USG: make $@ DATA=FOLDER"; exit 2; }
	$(BIN)/usdlr run experiments/breast_lesions_usg/experiment.yaml --data.root $(DATA) --out $(RUNS)/breast_lesions_usg

test: install
	OMP_NUM_THREADS=1 PYTEST_ADDOPTS="$(PYTEST_ADDOPTS)" $(BIN)/python -m pytest $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(MAKE) test PYTEST_ADDOPTS="--cov --cov-report=term"

fuzz: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.fuzz --minutes $(MINUTES) --findings $(RUNS)/fuzz

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate -o requirements.lock

clean:
	rm -rf $(RUNS)/demo $(RUNS)/demo-cohort
