# SPDX-License-Identifier: Apache-2.0
"""Makes the helpers beside the tests importable; where all must run, a skip is a failure."""

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    """``NETBOOSTER_REQUIRE_ONNX=1`` says that everything is installed: nothing may be skipped."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("NETBOOSTER_REQUIRE_ONNX") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be skipped here: {report.longrepr}"
