# SPDX-License-Identifier: Apache-2.0
"""The tree does what it did when ``manifest.json`` was written."""

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import manifest

CONTENT = json.loads(manifest.FILE.read_text())
NEEDED = ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")


@pytest.mark.parametrize("section", manifest.SECTIONS)
def test_nothing_has_changed(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if section in manifest.FLOATS and CONTENT["machine"] != manifest.machine():
        pytest.skip(f"floats were recorded on another machine: {CONTENT['machine']}")
    if section == "costs" and any(shutil.which(tool) is None for tool in NEEDED):
        pytest.skip(f"one of {', '.join(NEEDED)} is not installed")
    found = manifest.SECTIONS[section]()
    wanted = CONTENT[section]
    different = sorted(k for k in found | wanted if found.get(k) != wanted.get(k))
    assert not different
