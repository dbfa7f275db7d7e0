# SPDX-License-Identifier: Apache-2.0
"""Runs firmware on QEMU, with exact instruction counts from our plugin."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from deploy.build.layer_table import layer_functions, read_layer_table
from deploy.core.errors import DeployError
from deploy.core.layers import RUN
from deploy.devices.counts import Count, Lap
from deploy.devices.device import INFERENCE_SECONDS
from deploy.devices.emulated import MAX_INSTRUCTIONS, EmulatedDevice
from deploy.devices.errors import CounterError, EmulatorEndedError
from deploy.devices.link import DeviceLink
from deploy.devices.plugin import (
    LIMIT_STATUS,
    PluginUnusableError,
    api_version,
    build_plugin,
    find_refusal,
)
from deploy.devices.process import EmulatorProcess
from deploy.targets import Target

PLUGIN = "qemu-tcg-plugin"
ICOUNT = "icount-systick"
INTERVAL = ("nb_mark_begin", "nb_mark_end")

_BOOT_SECONDS = 30.0
_INSTALL = (
    "install it with: sudo apt-get install qemu-system-arm (macOS: brew install qemu), "
    "or point NETBOOSTER_QEMU to it"
)


def find_qemu() -> str:
    """Path of qemu-system-arm: ``NETBOOSTER_QEMU``, or what PATH has.

    Raises:
        DeployError: there is none; says how to install it.
    """
    wanted = os.environ.get("NETBOOSTER_QEMU", "qemu-system-arm")
    path = shutil.which(wanted)
    if path is None:
        raise DeployError(f"{wanted} is not installed; {_INSTALL}")
    return path


def qemu_version(path: str) -> tuple[str, tuple[int, int]]:
    """``QEMU 7.2.22`` and ``(7, 2)``.

    Raises:
        DeployError: the program does not run, or is no QEMU.
    """
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployError(f"{path} does not run: {error}") from error
    match = re.search(r"version (\d+)\.(\d+)\S*", done.stdout)
    if match is None:
        raise DeployError(f"{path} is no QEMU; {_INSTALL}")
    return f"QEMU {match[0].removeprefix('version ')}", (int(match[1]), int(match[2]))


class QemuDevice(EmulatedDevice):
    """A firmware running on QEMU.

    Args:
        target: names the emulated machine and the cycle model.
        elf: the firmware.
        counter: ``plugin`` counts exactly, by layer; ``icount`` in steps of a timer tick, by
            ``-icount`` and SysTick; ``auto`` takes the plugin, and where QEMU cannot use it,
            ``icount``, which standard error is told.
        functions: count by function as well.
        interval: the functions whose entries begin and end the counted interval; by default those
            that the harness calls around an inference.
        max_instructions: an interval that executes more is ended (with the plugin).
        timeout: seconds for one inference, unless a call says otherwise.

    Attributes:
        counting: :data:`PLUGIN` or :data:`ICOUNT`.

    Raises:
        DeployError: QEMU is not installed, knows no machine for the target, or does not boot it;
            the firmware is another target's; the counter has to be used and cannot be.
    """

    def __init__(
        self,
        target: Target,
        elf: Path,
        *,
        counter: Literal["auto", "plugin", "icount"] = "auto",
        functions: bool = False,
        interval: tuple[str, str] = INTERVAL,
        max_instructions: int = MAX_INSTRUCTIONS,
        timeout: float = INFERENCE_SECONDS,
    ) -> None:
        if target.emulator is None or target.emulator.qemu_machine is None:
            raise DeployError(
                f"target {target.name} has no emulator of QEMU's; see `netbooster list targets`"
            )
        super().__init__(target, elf, max_instructions, timeout)
        self._machine = target.emulator.qemu_machine
        self._serial = target.emulator.qemu_serial
        self._interval = interval
        self._qemu = find_qemu()
        self._version, self._release = qemu_version(self._qemu)
        self.emulator = self._version
        self._table = read_layer_table(self._elf)
        self._layers = list(self._table.names) if self._table else layer_functions(self._elf)
        self._functions = self._elf.functions() if functions else []
        self._read_lines = 0
        try:
            self._boot(counter)
        except BaseException:
            self.close()
            raise

    def _boot(self, counter: str) -> None:
        if counter != "icount":
            try:
                self._start_with_plugin()
                return
            except PluginUnusableError as reason:
                if counter == "plugin":
                    raise
                print(
                    f"warning: instructions are counted by -icount and SysTick, in steps of "
                    f"{self._instructions_per_tick():g}, and not by layer: {reason}",
                    file=sys.stderr,
                )
        self.counting = ICOUNT
        self._start(["-icount", "shift=0"])

    def infer(self, *, timeout: float | None = None) -> Lap:
        """One inference on the loaded input, with its counts; see :class:`Device`.

        With the plugin also ``cycles_estimated``, ``outside``, ``layers`` and ``functions``.
        """
        try:
            report = self._run(timeout)
        except EmulatorEndedError as error:
            if self.counting == PLUGIN and error.status == LIMIT_STATUS and self._process:
                raise self._too_long(self._process.log_tail()) from error
            raise
        if self.counting == PLUGIN:
            return self._next_count()
        if report.ticks is None:
            raise CounterError(
                f"{self._version}: the inference is too long for SysTick; "
                "it can be counted by the plugin only"
            )
        return Lap(instructions=round(report.ticks * self._instructions_per_tick()))

    def _instructions_per_tick(self) -> float:
        return 1e9 / self._target.clock_hz  # -icount shift=0: one instruction a nanosecond

    def _start_with_plugin(self) -> None:
        api = api_version(self._release)
        try:
            self._start(self._plugin_arguments(api))
        except EmulatorEndedError as error:
            refusal = find_refusal(error.log)
            if refusal is None:
                raise
            if refusal.api is None or refusal.api == api:
                raise PluginUnusableError(str(error)) from error
            try:
                self._start(self._plugin_arguments(refusal.api))
            except EmulatorEndedError as second:
                raise PluginUnusableError(str(second)) from second
        self.counting = PLUGIN

    def _plugin_arguments(self, api: int) -> list[str]:
        library = build_plugin(api)
        lines = [
            f"{self._elf.address(self._interval[0]):x} begin",
            f"{self._elf.address(self._interval[1]):x} end",
            *self._layer_markers(),
            *(f"{symbol.address:x} function {i}" for i, symbol in enumerate(self._functions)),
        ]
        markers = self._path("markers.txt")
        markers.write_text("\n".join(lines) + "\n")
        cycles = self._target.cycles
        options = {
            "file": library,
            "markers": markers,
            "out": self._path("counts.jsonl"),
            "wait_states": cycles.flash_wait_states if cycles else 0,
            "limit": self._limit,
        }
        joined = ",".join(f"{k}={str(v).replace(',', ',,')}" for k, v in options.items())
        return ["-plugin", joined]

    def _layer_markers(self) -> list[str]:
        if self._table is None:
            return [f"{self._elf.address(n):x} layer {i}" for i, n in enumerate(self._layers)]
        table = f"{self._table.address:x} {self._table.entry_bytes} {len(self._layers)}"
        return [f"{self._elf.address(RUN):x} table {table}"]

    def _start(self, arguments: Sequence[str]) -> None:
        if self._process is not None:
            self._process.close()
        command = [self._qemu, "-machine", self._machine, "-kernel", str(self._elf_path)]
        command += ["-nodefaults", "-display", "none", "-monitor", "none"]
        command += ["-serial", "null"] * self._serial + ["-serial", "stdio"]
        self._process = EmulatorProcess([*command, *arguments], self._version)
        self.link = DeviceLink(self._process)
        self.banner = self.link.wait_for_banner(_BOOT_SECONDS)
        self._check_target("was built for", "build it again")

    def boot_count(self) -> Lap:
        """The counts of an interval that ended before the firmware asked for commands.

        Raises:
            CounterError: there was none, or the plugin is not in use.
        """
        if self.counting != PLUGIN:
            raise CounterError(f"{self._version}: start-up is counted by the plugin only")
        records = self._new_records()
        if len(records) != 1:
            raise CounterError(f"{self.where}: {' to '.join(self._interval)} did not run once")
        return self._lap(records)

    def _next_count(self) -> Lap:
        records = self._new_records()
        expected = 1 + self.banner.pushed_rows  # a record for each row, and the end
        if len(records) != expected:
            raise CounterError(
                f"{self._version}: the counter wrote {len(records)} records for one inference of "
                f"{expected}; the firmware's markers are missing: build it again"
            )
        return self._lap(records)

    def _new_records(self) -> list[dict[str, Any]]:
        lines = self._path("counts.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines[self._read_lines :]]
        self._read_lines = len(lines)
        return records

    def _lap(self, records: list[dict[str, Any]]) -> Lap:
        """The counts of an inference; it has several records where it waited for rows."""
        total = _add_up(records)
        return Lap(
            instructions=total["instructions"],
            cycles_estimated=total["cycles_estimated"] if self._target.cycles else None,
            outside=self._count("", [record["outside"] for record in records]),
            layers=self._parts("layers", self._layers, records),
            functions=self._parts(
                "functions", [function.name for function in self._functions], records
            ),
        )

    def _parts(
        self, kind: str, names: list[str], records: list[dict[str, Any]]
    ) -> tuple[Count, ...]:
        found: dict[int, list[dict[str, Any]]] = {}
        for record in records:
            for entry in record[kind]:
                found.setdefault(entry["index"], []).append(entry)
        return tuple(self._count(names[index], found[index]) for index in sorted(found))

    def _count(self, symbol: str, parts: list[dict[str, Any]]) -> Count:
        total = _add_up(parts)
        cycles = total["cycles_estimated"] if self._target.cycles else None
        return Count(
            symbol, total["calls"], total["instructions"], cycles, total["bytes_loaded"],
            total["bytes_stored"],
        )  # fmt: skip


def _add_up(parts: list[dict[str, Any]]) -> dict[str, int]:
    return {
        key: sum(part[key] for part in parts)
        for key, value in parts[0].items()
        if isinstance(value, int)
    }
