# Python 3.11 or newer and make are all that is needed: make demo, make test. Another Python: make PYTHON=python3.13 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SET_UP := $(VENV)/.set-up
# Files, not tests, are dealt out, in the order that tests/conftest.py gives them: one file's tests share a Ray or a
# database. More workers than cores gain nothing.
PYTEST ?= -n 2 --dist loadfile --no-loadscope-reorder
# Without its bytecode, each of the hundreds of processes that a test run starts compiles anew all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Left out, so that README's tables of them stay as they are: a GPU's; surfaces that others search (record_surface);
# chaos and sweep_size, an hour each; normalise, noise_estimate and objective_regret; what compare and export wrote to
# examples/; and whatever needs CIFAR-10, sweep_cost --cifar among it (startup's table loses its row of ResNet-20 where
# --cifar DIR is not given).
BENCHMARKS := startup training_throughput speed_figure cpu_settings sweep_cost "sweep_cost --long" trial_cost \
	service_load early_stopping sample_efficiency "sample_efficiency --default" "sample_efficiency --startup"

.PHONY: demo test pytest test-long bench lint set-up constraints

demo: $(SET_UP)  ## search digits at noise rate 0.4 and print what was found; recorded in .demo
	$(BIN)/emphasis --home .demo run --dataset digits --noise-rate 0.4

# Side by side: one core would be idle while the types are checked.
test: $(SET_UP)
	$(MAKE) --no-print-directory -j 2 lint pytest

pytest: $(SET_UP)
	$(BIN)/python -m pytest $(PYTEST)

test-long: $(SET_UP)  ## whole systems: killed processes, Ray clusters that lose and gain nodes, the composed service
	$(BIN)/python -m pytest -m long

bench: $(SET_UP)  ## measure anew what two free hours on two cores can of README's tables; write these from all result files
	for each in $(BENCHMARKS); do $(BIN)/python -m tests.benchmarks.$$each || exit 1; done
	$(BIN)/python -m tests.benchmarks.tables

lint: $(SET_UP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

set-up: $(SET_UP)

# uv installs several times faster than pip; where it cannot be had, pip does the same.
$(SET_UP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name one with make PYTHON=python3.13' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	{ $(BIN)/python -m pip install --quiet --constraint constraints.txt uv && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; } || \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Move constraints.txt to the newest versions; what the oldest supported Python can have, the newer ones can too.
constraints: $(SET_UP)
	$(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform linux --all-extras \
		--no-header --no-annotate pyproject.toml > constraints.new
	$(BIN)/uv --version | sed -E 's/uv ([^ ]*).*/uv==\1/' >> constraints.new
	sort -fo constraints.txt constraints.new && rm constraints.new
