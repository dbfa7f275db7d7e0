# SPDX-License-Identifier: Apache-2.0
"""One thread a test process, and in every process that a test starts; slices of the slow tests.

Test processes run side by side (pytest-xdist). OpenMP's threads spin while they wait for each
other, so that two processes with two threads each on two cores take minutes for seconds of work.
"""

import os
import zlib

os.environ["OMP_NUM_THREADS"] = "1"

import pytest  # noqa: E402
import torch  # noqa: E402 - OpenMP reads the variable when it is loaded

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--slice TEXT/N``: a share of 1/N of the tests, drawn by TEXT (a commit's hash, say)."""
    parser.addoption("--slice", metavar="TEXT/N", help="run 1/N of the tests, drawn by TEXT")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the slice; each test's place depends on its name and TEXT alone."""
    wanted = config.getoption("--slice")
    if wanted is None:
        return
    text, _, parts = str(wanted).rpartition("/")
    if not parts.isdigit() or int(parts) < 1:
        raise pytest.UsageError(f"--slice {wanted}: write it as TEXT/N, such as 1a2b3c/8")
    kept, left = [], []
    for item in items:
        share = zlib.crc32(f"{text} {item.nodeid}".encode()) % int(parts)
        (left if share else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept
