"""Runs firmware on QEMU, with exact instruction counts from our plugin."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.build.layer_table import RUN, layer_functions, read_layer_table
from deploy.core.errors import DeployError
from deploy.devices.faults import explain_fault
from deploy.devices.limits import MAX_INSTRUCTIONS, limit_error
from deploy.devices.plugin import PluginUnusableError, api_version, build_plugin, required_api
from deploy.devices.process import EmulatorProcess
from deploy.devices.serial_link import DeviceFaultError, DeviceLink
from deploy.devices.sessions import Session, open_session
from deploy.targets import Target

PLUGIN = "qemu-tcg-plugin"
ICOUNT = "icount-systick"
INTERVAL = ("nb_mark_begin", "nb_mark_end")

_BOOT_SECONDS = 30.0
_INSTALL = (
    "install it with: sudo apt-get install qemu-system-arm (macOS: brew install qemu), "
    "or point NETBOOSTER_QEMU to it"
)


@dataclass(frozen=True)
class EmulationResult:
    """What an emulated firmware answered, and what it took.

    Attributes:
        outputs: int8 [N, ...], the shape of the model's output without its batch dimension.
        instructions: executed instructions of the first image's inference.
        per_image_instructions: the same for every image.
        cycles_estimated: of the first image, by the target's cycle model; None without counts
            by instruction. An estimate, never a measurement.
        layers: of the first image: symbol, calls, instructions, cycles_estimated, bytes_loaded,
            bytes_stored; empty where the plugin is not usable.
        stack_high_water: bytes, over all images.
        counting: how instructions were counted: exactly by the plugin, or coarsely (in steps of
            a timer tick) by ``-icount`` and SysTick.
    """

    outputs: np.ndarray
    instructions: int
    per_image_instructions: list[int]
    cycles_estimated: int | None
    layers: list[dict[str, Any]]
    stack_high_water: int
    arena_bytes: int
    banner: dict[str, Any]
    counting: str
    emulator: str


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


class QemuSession(Session):
    """A firmware running on QEMU; a context manager.

    Args:
        target: names the emulated machine and the cycle model.
        elf: the firmware.
        plugin: count by our plugin; where QEMU cannot use it, ``-icount`` and SysTick take over
            and standard error says so. False: straight to ``-icount``.
        functions: count by function as well.
        interval: the functions whose entries begin and end the counted interval; by default those
            that the harness calls around an inference.
        max_instructions: an interval that executes more is ended (with the plugin).

    Attributes:
        link: the firmware's serial protocol.
        banner: what the firmware said when it booted.
        counting: :data:`PLUGIN` or :data:`ICOUNT`.
        emulator: name and version.
    """

    def __init__(
        self,
        target: Target,
        elf: Path,
        *,
        plugin: bool = True,
        functions: bool = False,
        interval: tuple[str, str] = INTERVAL,
        max_instructions: int = MAX_INSTRUCTIONS,
    ) -> None:
        if target.emulator is None or target.emulator.qemu_machine is None:
            raise DeployError(
                f"target {target.name} has no emulator of QEMU's; see `netbooster list targets`"
            )
        super().__init__(target, elf, max_instructions)
        self._machine = target.emulator.qemu_machine
        self._serial = target.emulator.qemu_serial
        self._want_plugin = plugin
        self._interval = interval
        self._qemu = find_qemu()
        self.emulator, self._release = qemu_version(self._qemu)
        self._table = read_layer_table(self._elf)
        self._layers = list(self._table.names) if self._table else layer_functions(self._elf)
        self._functions = self._elf.functions() if functions else []
        self._read_lines = 0

    def _boot(self) -> None:
        if self._want_plugin:
            try:
                self._start_with_plugin()
                return
            except PluginUnusableError as reason:
                print(
                    f"warning: instructions are counted by -icount and SysTick, in steps of "
                    f"{self._instructions_per_tick():g}, and not by layer: {reason}",
                    file=sys.stderr,
                )
        self.counting = ICOUNT
        self._start(["-icount", "shift=0"])

    def infer(self, *, timeout: float = 600.0) -> dict[str, Any]:
        """Run one inference on the loaded input and return its counts.

        Returns:
            ``instructions``; with the plugin also ``calls``, ``cycles_estimated``,
            ``bytes_loaded``, ``bytes_stored``, ``branches_taken``, ``outside``, ``layers`` (by
            ``symbol``) and ``functions``.

        Raises:
            DeployError: the firmware reported an error or a HardFault (names function and
                layer), executed too many instructions, gave no answer in ``timeout`` seconds, or
                QEMU has ended.
        """
        try:
            report = self.link.infer(timeout=timeout)
        except DeviceFaultError as fault:
            raise explain_fault(fault, self._elf) from fault
        except DeployError as error:
            if "nb_count: more than" in str(error) and self._process is not None:
                raise limit_error(self.emulator, self._limit, self._process.log_tail()) from error
            raise
        if self.counting == PLUGIN:
            return self._next_count()
        if report.ticks is None:
            raise DeployError(
                f"{self.emulator}: the inference is too long for SysTick; "
                "it can be counted by the plugin only"
            )
        return {"instructions": round(report.ticks * self._instructions_per_tick())}

    def _instructions_per_tick(self) -> float:
        return 1e9 / self._target.clock_hz  # -icount shift=0: one instruction a nanosecond

    def _start_with_plugin(self) -> None:
        api = api_version(self._release)
        try:
            self._start(self._plugin_arguments(api))
        except DeployError as error:
            if "plugin" not in str(error):
                raise
            required = required_api(str(error))
            if required is None or required == api:
                raise PluginUnusableError(str(error)) from error
            try:
                self._start(self._plugin_arguments(required))
            except DeployError as second:
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
        self._process = EmulatorProcess([*command, *arguments], self.emulator)
        self.link = DeviceLink(self._process)
        self.banner = self.link.wait_for_banner(_BOOT_SECONDS)
        self._check_target()

    def boot_count(self) -> dict[str, Any]:
        """The counts of an interval that ended before the firmware asked for commands.

        Raises:
            DeployError: there was none, or the plugin is not in use.
        """
        if self.counting != PLUGIN:
            raise DeployError(f"{self.emulator}: start-up is counted by the plugin only")
        lines = self._path("counts.jsonl").read_text().splitlines()
        if len(lines) != 1:
            raise DeployError(f"{self._elf_path}: {' to '.join(self._interval)} did not run once")
        return dict(json.loads(lines[0]))

    def _next_count(self) -> dict[str, Any]:
        lines = self._path("counts.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines[self._read_lines :]]
        expected = 1 + int(self.banner.get("pushed_rows", 0))  # a record for each row, and the end
        if len(records) != expected:
            raise DeployError(
                f"{self.emulator}: the counter wrote {len(records)} records for one inference of "
                f"{expected}; the firmware's markers are missing: build it again"
            )
        self._read_lines = len(lines)
        count = _sum_counts(records)
        for layer in count["layers"]:
            layer["symbol"] = self._layers[layer.pop("index")]
        for function in count["functions"]:
            function["symbol"] = self._functions[function.pop("index")].name
        if self._target.cycles is None:
            count["cycles_estimated"] = None
        return count


def _sum_counts(records: list[dict[str, Any]]) -> dict[str, Any]:
    """One record from those of an inference that was interrupted to wait for rows."""
    lists = {kind: [record.pop(kind) for record in records] for kind in ("layers", "functions")}
    outside = _add_up([record.pop("outside") for record in records])
    total: dict[str, Any] = {**_add_up(records), "outside": outside}
    for kind, parts in lists.items():
        found: dict[int, list[dict[str, int]]] = {}
        for part in parts:
            for entry in part:
                found.setdefault(entry["index"], []).append(entry)
        total[kind] = [{**_add_up(found[index]), "index": index} for index in sorted(found)]
    return total


def _add_up(parts: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(part[key] for part in parts) for key in parts[0]}


def run_images(
    target: Target,
    elf: Path,
    images: np.ndarray,
    *,
    plugin: bool = True,
    emulator: str | None = None,
    max_instructions: int = MAX_INSTRUCTIONS,
    timeout: float = 600.0,
) -> EmulationResult:
    """Classify images on the emulated target.

    Args:
        images: int8 [N, ...]; an image's bytes are the model's input tensor as it lies in memory.
        emulator: qemu or renode; None: QEMU where it knows the target.
        max_instructions: an inference that executes more is ended.
        timeout: seconds for one inference.

    Raises:
        DeployError: images of the wrong size, or see :class:`QemuSession`.
    """
    if images.dtype != np.int8 or len(images) == 0:
        raise DeployError(f"images are {images.dtype} [{len(images)}]; at least one, int8, is due")
    with open_session(
        target, elf, emulator=emulator, plugin=plugin, max_instructions=max_instructions
    ) as session:
        size = sum(tensor["bytes"] for tensor in session.banner["inputs"])
        if images[0].size != size:
            raise DeployError(
                f"an image has {images[0].size} bytes, the model in {elf} takes {size}; "
                "use the resolution and channels that it was trained for"
            )
        outputs: list[np.ndarray] = []
        counts: list[dict[str, Any]] = []
        for image in images:
            session.link.load_input(image.tobytes())
            counts.append(session.infer(timeout=timeout))
            outputs.append(np.frombuffer(session.link.output(), dtype=np.int8))
        memory = session.link.memory()
        shapes = [tensor["shape"][1:] for tensor in session.banner["outputs"]]
        stacked = np.stack(outputs)
        if len(shapes) == 1:
            stacked = stacked.reshape(len(images), *shapes[0])
        return EmulationResult(
            outputs=stacked,
            instructions=counts[0]["instructions"],
            per_image_instructions=[count["instructions"] for count in counts],
            cycles_estimated=counts[0].get("cycles_estimated"),
            layers=counts[0].get("layers", []),
            stack_high_water=memory.stack_used,
            arena_bytes=memory.arena_bytes,
            banner=session.banner,
            counting=session.counting,
            emulator=session.emulator,
        )
