# SPDX-License-Identifier: Apache-2.0
"""Other runtimes for `tools/bench_engine.py`."""
