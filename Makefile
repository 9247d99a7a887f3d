# Two commands do everything on a clean clone: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all lint readme docs gpu clean

# The CPU build of torch is pinned and installed first: a plain `torch` would pull gigabytes of CUDA.
# An editable install sees new files, but not new packages: those install again.
$(VENV)/.installed: pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/* src/nprnn/*/__init__.py)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt torch numpy
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.rivals: $(VENV)/.tested
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[test,bench,browser,triton,onnx,mobile,ray,wrappers,docs]'
	touch $@

$(VENV)/.documented: $(VENV)/.installed
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[docs]'
	touch $@

# Trains np-RNN and IRNN on the addition problem (no download) and leaves demo/report.html to open.
demo: $(VENV)/.installed
	$(BIN)/nprnn train addition --preset quick --model np-RNN --out demo
	$(BIN)/nprnn train addition --preset quick --model IRNN --out demo
	$(BIN)/nprnn report demo --out demo/report.html
	@echo "Open demo/report.html. Next, MNIST row by row, downloaded or from a folder with its four IDX files:"
	@echo "  $(BIN)/nprnn train mnist --rows --model np-RNN --download"
	@echo "  $(BIN)/nprnn train mnist --rows --model np-RNN --data-dir path/to/mnist"

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The user's suite: no system packages, under eight minutes on two cores.
test: lint
	$(BIN)/pytest -q -n auto -m "not slow"

# CI's suite: everything (full training runs, twenty kills of each task, sanitizers, an emulated ARM), then the operator and
# its modules on the definition, on every lower instruction set of this machine, and on Triton's interpreter.
test-all: $(VENV)/.rivals lint
	$(BIN)/pytest -q -n auto
	for kernel in $$($(BIN)/python -c "from nprnn.ops import cpu; print('reference', *cpu.instruction_sets()[:-1])"); do \
	  echo "== kernel $$kernel" && NPRNN_KERNEL=$$kernel $(BIN)/pytest -q -n auto tests/test_ops.py tests/test_rnn.py || exit 1; \
	done
	echo "== kernel triton" && TRITON_INTERPRET=1 NPRNN_KERNEL=triton $(BIN)/pytest -q -n auto tests/test_ops.py tests/test_rnn.py

# On a machine with a CUDA device and nothing to download (PYTHON is one that has torch and Triton): correctness, speed against
# cuDNN, and Fig. 3 as far as it goes, in nine minutes; OUT is where it is written.
OUT ?= results/bench
gpu:
	PYTHONPATH=src $(PYTHON) benchmarks/gpu.py --out $(OUT)

# Rewrites the README's tables of results, and the claims in docs/reproduction.md, from results/.
readme: $(VENV)/.installed
	$(BIN)/python -m nprnn.reporting.summary README.md results docs/reproduction.md

# The documentation as a site: open site/index.html, with a server or without. Any warning is an error.
docs: $(VENV)/.documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

clean:
	rm -rf $(VENV) build demo site .mypy_cache .ruff_cache .pytest_cache
