#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles against cycles that somebody measured on a board, for the same generated code.

    python tools/check_cycles.py FILE.tflite...

The runs below were published with the hash of their model; a file with such a hash is compiled with
bakenn's back end of that run, counted in the emulator, and its estimate compared, once with zero
wait states and once with those of the board's file. The models are not part of this project:
benchmarks/tflm_compare in github.com/scienthoon/bakeNN has or makes them.
"""

import argparse
import hashlib
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from engine_peers import bakenn  # noqa: E402
from engine_peers.adapt import adapt  # noqa: E402

from deploy.build.firmware import build_firmware  # noqa: E402
from deploy.core.errors import DeployError  # noqa: E402
from deploy.devices import QemuDevice  # noqa: E402
from deploy.targets import Target, load_target  # noqa: E402

EMULATED = "mps2-an386"


@dataclass(frozen=True)
class Published:
    """A measurement: cycles of one inference, the median of 101, all alike.

    ``input`` is the value of every input byte, ``output`` the first output bytes where the source
    prints them for this arithmetic.
    """

    sha256: str
    what: str
    backend: str
    cycles: int
    board: str
    input: int
    output: tuple[int, ...] | None
    source: str


_NODE = "nano-33-ble"  # the target with the same chip, an nRF52840 at 64 MHz
RUNS = (
    Published(
        "dd18dfbac4f2abc237aa2eb70809193e7d1dfa0d85c7d11b8eb3b499810df592",
        "FULLY_CONNECTED 32-16-4", "portable", 8508, _NODE, -3, None,
        "bakeNN, IoT-LAB experiment 447609",
    ),
    Published(
        "c06327251b6a828493be40994e6378e7d3495ed3538a16f7d418f46aa35d8401",
        "FULLY_CONNECTED 32-16-4", "portable", 8706, _NODE, -3, (-5, -4, -4, -4),
        "bakeNN, IoT-LAB experiment 447626",
    ),
    Published(
        "c06327251b6a828493be40994e6378e7d3495ed3538a16f7d418f46aa35d8401",
        "FULLY_CONNECTED 32-16-4", "cmsis-nn", 3786, _NODE, -3, (-5, -4, -4, -4),
        "bakeNN, IoT-LAB experiment 447626",
    ),
    Published(
        "d49b29fde0cea4522dc112444520f79d3b298c0304f778c8e620339d56226779",
        "CONV_2D 3x3, 4x4x1 to 4x4x2", "portable", 24610, _NODE, -3, None,
        "bakeNN, IoT-LAB experiment 447609",
    ),
)  # fmt: skip


def variant(folder: Path, wait_states: int) -> Target:
    """The emulated machine with -O2, as the boards' builds had, and some wait states."""
    text = load_target(EMULATED).file.read_text()
    text = re.sub(r"(?m)^cflags = .*$", 'cflags = ["-O2"]', text)
    text = re.sub(r"(?m)^flash_wait_states = .*$", f"flash_wait_states = {wait_states}", text)
    path = folder / f"{EMULATED}.toml"
    path.write_text(text)
    return load_target(str(path))


def estimate(data: bytes, run: Published, python: Path, wait_states: int) -> tuple[int, int]:
    """(instructions, estimated cycles) of the run's code.

    Raises:
        DeployError: it does not build, or its output is not the published one.
    """
    with tempfile.TemporaryDirectory(prefix="nb_cycles_") as name:
        folder = Path(name)
        generated = bakenn.generate(python, adapt(data), run.backend, folder / "made")
        target = variant(folder, wait_states)
        build_firmware(generated, target, folder / "firmware.elf")
        with QemuDevice(target, folder / "firmware.elf", counter="plugin") as device:
            device.load_input(bytes([run.input & 255]) * device.banner.input_bytes)
            count = device.infer()
            output = device.output()
    if run.output is not None:
        expected = bytes(value & 255 for value in run.output)
        if not output.startswith(expected):
            raise DeployError(f"{run.source}: the output is {output.hex()}, not {expected.hex()}")
    assert count.instructions is not None and count.cycles_estimated is not None
    return count.instructions, count.cycles_estimated


def main() -> int:
    """Print a Markdown table; exit code 2 where nothing can be compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="FILE.tflite")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "bakenn-venv")
    arguments = parser.parse_args()
    try:
        files = {hashlib.sha256(data).hexdigest(): data
                 for data in (path.read_bytes() for path in arguments.models)}  # fmt: skip
        runs = [run for run in RUNS if run.sha256 in files]
        if not runs:
            raise DeployError("none of these models has a published measurement")
        python = bakenn.install(arguments.venv)
        print("| code | board | measured | instructions | 0 waits | error | board's | error |")
        print("|---|---|---|---|---|---|---|---|")
        for run in runs:
            cycles = load_target(run.board).cycles
            assert cycles is not None
            waits = cycles.flash_wait_states
            count, plain = estimate(files[run.sha256], run, python, 0)
            _, slow = estimate(files[run.sha256], run, python, waits)
            print(
                f"| {run.what}, {run.backend} | {run.board}'s chip ({run.source}) "
                f"| {run.cycles:,} | {count:,} | {plain:,} | {plain / run.cycles - 1:+.1%} "
                f"| {slow:,} ({waits}) | {slow / run.cycles - 1:+.1%} |"
            )
    except (DeployError, OSError, bakenn.PeerUnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
