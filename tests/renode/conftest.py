# SPDX-License-Identifier: Apache-2.0
"""What the tests on Renode share; without Renode they are skipped, with the reason."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.core.errors import DeployError
from deploy.devices import QemuDevice
from deploy.devices.renode import find_renode
from deploy.targets import Target


@pytest.fixture(scope="session", autouse=True)
def _renode() -> str:
    try:
        return find_renode()
    except DeployError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def count_in_qemu() -> Callable[[Target, Path, bytes], int]:
    """Instructions of one inference, by our counter in QEMU."""

    def count(target: Target, elf: Path, data: bytes) -> int:
        with QemuDevice(target, elf) as qemu:
            if qemu.counting != "qemu-tcg-plugin":
                # An older or newer QEMU than the plugin knows: `netbooster doctor` tells.
                pytest.skip("this QEMU does not load our counter: nothing exact to compare with")
            qemu.load_input(data)
            return qemu.infer().instructions

    return count
