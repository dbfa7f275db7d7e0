"""Other runtimes for `tools/bench_engine.py`."""
