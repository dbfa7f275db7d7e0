# SPDX-License-Identifier: Apache-2.0
# make demo   images in, a measured Cortex-M firmware out (sets up what it needs)
# make test   sets up the same way, then linters and tests
# make onnx   the second road to a flatbuffer (ONNX, TensorFlow) against our own; 2 GB of packages
# make slow   the long tests: thousands of random graphs and fuzzed files; SLICE=TEXT/N runs 1/N of
#             them, drawn by TEXT
# make clean  removes build outputs; .venv, .venv-onnx and runs/ stay
PYTHON_BIN := .venv/bin

.PHONY: help setup demo test onnx slow lint clean

help:
	@sed -n '1!s/^# //p' Makefile

setup:
	@bash tools/setup.sh

demo: setup
	@$(PYTHON_BIN)/netbooster run digits --target mps2-an386

lint: setup
	@echo "[lint] ruff"; $(PYTHON_BIN)/ruff check .
	@echo "[lint] mypy"; $(PYTHON_BIN)/mypy
	@bash tools/check_format.sh
	@echo "[lint] import-linter"; $(PYTHON_BIN)/lint-imports --no-logo --no-cache

test: lint
	@echo "[test] pytest"; $(PYTHON_BIN)/python -m pytest -n auto

onnx: setup
	@bash tools/check_onnx.sh

slow: setup
	@$(PYTHON_BIN)/python -m pytest -n auto -m slow $(if $(SLICE),--slice $(SLICE))

clean:
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
