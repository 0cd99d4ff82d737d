# All packages are installed into .venv from the hashed lock file. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := envs/requirements.txt
READY  := $(VENV)/.ready
CORES  := $(shell getconf _NPROCESSORS_ONLN)
GPUS   := $(shell n=$$(nvidia-smi -L 2>/dev/null | grep -c '^GPU') || n=0; echo $$n)
SNAKEMAKE := PATH=$(CURDIR)/$(BIN):$$PATH snakemake --cores $(CORES)

# Without compiled files, each of the many short jobs would compile torch's sources again.
unexport PYTHONDONTWRITEBYTECODE


.PHONY: help env browser demo test test-slow test-slurm test-gpu soak flips mutants lint format bench calibrate study docs lock dist clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# uv itself comes from the same lock file; it then installs the rest in parallel (half a minute; pip takes minutes),
# and the library from its folder, so that `import prunescope` and the command use it.
$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "prunescope needs Python 3.11 to 3.13, but $(PYTHON) is $$($(PYTHON) --version); choose one with make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r <(awk '/^[^ ]/ { on = /^uv==/ } on' $(LOCK))
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(LOCK)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-index --no-build-isolation --editable .
	touch $@

env: $(READY) ## create the environment in .venv

demo: $(READY) ## train, prune and compare a small network (no download, 3 minutes), and print where the results are
	$(SNAKEMAKE) --resources gpu=$(GPUS) $$([ -t 2 ] && echo --logger rich || echo --quiet rules) \
	  --config experiments=[digits-lenet,digits-lenet-retrain]
	@echo; echo "similarity matrix  results/digits-lenet/similarity.parquet"
	@echo "accuracies         results/digits-lenet/accuracy.parquet"
	@echo "figures            results/digits-lenet/figures/"
	@echo "report             results/digits-lenet/report.html"

test: $(READY) ## run the fast tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

browser: ## install Debian's Chromium and its driver (as root); without them the tests that open reports are skipped
	{ command -v chromium && command -v chromedriver; } > /dev/null || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver > /dev/null; }

test-slow: $(READY) ## run the slow tests: many kills, and runs with a user's own data and networks
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

test-slurm: $(READY) ## run the workflow on a single-node SLURM cluster (as root; tries to install Debian's slurm-wlm and munge)
	bash tests/slurm/cluster.sh install || echo "SLURM cannot be installed here; its tests will be skipped"
	$(BIN)/python -m pytest tests/slurm

test-gpu: $(READY) ## compare GPU and CPU, and check GPU jobs (skipped without a GPU)
	$(BIN)/python -m pytest tests/gpu

soak: $(READY) ## kill processes, edit files and flip bits at random (an hour; KILLS=, EDITS=, FLIPS=, SEED=)
	PYTHONPATH=tests:workflow/scripts $(BIN)/python tests/soak/soak.py --kills $(or $(KILLS),60) --edits $(or $(EDITS),60) --flips $(or $(FLIPS),5000) \
	  --seed $(or $(SEED),$$RANDOM)

flips: $(READY) ## flip 2,000 random bits in files of every kind; none may silently change what is read (a minute; FLIPS=n per kind)
	PRUNESCOPE_FLIPS=$(or $(FLIPS),250) PRUNESCOPE_FLIP_SEED=$$RANDOM $(BIN)/python -m pytest -n 0 tests/unit/test_flips.py

mutants: $(READY) ## change the library at N=200 random places and show which changes no fast test notices (half an hour; SEED=)
	$(BIN)/python tests/mutants.py --mutants $(or $(N),200) --seed $(or $(SEED),0)

lint: $(READY) ## check the style: ruff (format and check), snakefmt, snakemake --lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

bench: $(READY) ## measure speed against plain implementations, as ratios
	for file in tests/benchmarks/bench_*.py; do $(BIN)/python $$file; done

calibrate: $(READY) ## simulate how often verdicts are wrong, for docs/statistics.md (4 minutes; DRAWS=n)
	OMP_NUM_THREADS=1 $(BIN)/python tests/calibration/calibrate.py $(DRAWS)

study: $(READY) ## run the study of docs/study.md, or continue it (STUDY=mnist: 2.3 hours on two cores, STUDY=cifar10: 2.5; DATA='{root: ...}')
	PATH=$(CURDIR)/$(BIN):$$PATH python docs/study/run.py $(or $(STUDY),mnist) --cores $(CORES) $(if $(DATA),--data '$(DATA)')

docs: $(READY) ## write the reference of keys, kinds, statuses and verdicts in config/, docs/ and results/
	PYTHONPATH=workflow/scripts $(BIN)/python -m prunescope.plan.reference

lock: $(READY) ## update envs/requirements.txt from pyproject.toml, then the conda environment
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --extra workflow --group dev --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --output-file $(LOCK)
	$(BIN)/python envs/conda.py

# Each archive is installed with the newest packages that pyproject.toml allows, as users install it: first alone, then
# with what the workflow needs.
dist: $(READY) ## build wheel and sdist, check their metadata, and try both in new environments
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/uv tool run --quiet twine check --strict dist/*.whl dist/*.tar.gz
	for archive in dist/*.whl dist/*.tar.gz; do \
	  $(BIN)/uv venv --quiet --clear --python $(PYTHON) dist/env; \
	  $(BIN)/uv pip install --quiet --python dist/env/bin/python $$archive; \
	  dist/env/bin/python -c 'import snakemake' 2> /dev/null && { echo "$$archive: Snakemake comes without the extra"; exit 1; }; \
	  dist/env/bin/python -I tests/notebook_side.py; \
	  $(BIN)/uv pip install --quiet --python dist/env/bin/python "$$archive[workflow]"; \
	  dist/env/bin/snakemake --dry-run --quiet all --cores 1 > /dev/null; \
	  echo "$$archive: $$(dist/env/bin/prunescope --version) works"; \
	done

clean: ## remove the environment and Snakemake's records; results are kept
	rm -rf $(VENV) .snakemake
