# SPDX-License-Identifier: Apache-2.0
"""The one loop that sends inputs to a device and reads its answers.

Every answer can be written down as it comes, so that a pulled cable, a dead emulator or Ctrl-C
costs one input: the same call goes on from there. Times of a board are measured; an emulator gives
instructions and estimated cycles; the two never meet in one number.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from deploy.core.errors import DeployError
from deploy.devices.banner import Banner
from deploy.devices.counts import Count, Lap
from deploy.devices.device import INFERENCE_SECONDS, Device
from deploy.devices.emulated import MAX_INSTRUCTIONS
from deploy.devices.errors import (
    NOISE,
    DeviceError,
    GarbledAnswerError,
    LinkLostError,
    WrongDeviceError,
    add_to,
)
from deploy.devices.link import Memory
from deploy.devices.opening import open_device
from deploy.devices.progress import Progress
from deploy.targets import Target

RECONNECT_SECONDS = 60.0
_TRIES = 3  # of one input, before the line counts as too noisy


@dataclass(frozen=True)
class Answers:
    """What a device answered, and what it took.

    Attributes:
        outputs: int8 [N, bytes]: for each input the bytes of all outputs, end to end.
        laps: what each inference took: one for each input, then the repeated ones. Layers and
            functions are kept of the first alone.
        memory: arena and stack in bytes, over all inferences.
        counting: where the numbers of ``laps`` come from.
        emulator: name and version; None for a device on a port.
        reconnects: how often the line was lost.
    """

    outputs: np.ndarray
    laps: list[Lap]
    memory: Memory
    banner: Banner
    counting: str
    emulator: str | None
    reconnects: int = 0

    @property
    def layers(self) -> tuple[Count, ...]:
        """What the layers took in the first inference; empty where nobody counted by layer."""
        return self.laps[0].layers

    @property
    def instructions(self) -> int:
        """Of the first inference.

        Raises:
            DeployError: the device counts none.
        """
        if (count := self.laps[0].instructions) is None:
            raise DeployError(f"{self.banner.target} counts no instructions; take an emulator")
        return count

    @property
    def cycles_estimated(self) -> int | None:
        """Of the first inference."""
        return self.laps[0].cycles_estimated


@dataclass(frozen=True)
class Sending:
    """How inputs are sent.

    Attributes:
        sha256: of the .tflite file that the firmware has to hold; None: whatever it holds.
        runs: laps that are wanted at least; the last input is sent again for the missing ones.
        progress: where answers are written down; removed at the end.
        say: told what a person should know while it goes on.
        reconnect_seconds: how long a lost line is waited for.
    """

    sha256: str | None = None
    runs: int = 1
    progress: Progress = field(default_factory=lambda: Progress(None, {}))
    say: Callable[[str], None] = lambda message: None
    reconnect_seconds: float = RECONNECT_SECONDS


def ask(
    connect: Callable[[], Device], inputs: Sequence[bytes], sending: Sending | None = None
) -> Answers:
    """Send inputs to a device, and collect its answers.

    Args:
        connect: opens the device; called again where the line was lost. It is closed in the end.
        inputs: for each inference the bytes of all inputs, as they lie in memory; at least one.

    Raises:
        DeployError: the device holds another model, takes inputs of another size, faults, or the
            line stays dead or noisy. The type is that of :mod:`deploy.devices.errors`; answers so
            far are kept by ``sending.progress``.
    """
    sending = sending or Sending()
    progress = sending.progress
    if progress.answers:
        sending.say(f"going on at image {len(progress.answers)} of {len(inputs)}")
    total = max(len(inputs), sending.runs)
    reconnects = 0
    device: Device | None = None
    try:
        device = _checked(connect(), inputs[0], sending)
        while len(progress.answers) < total:
            data = inputs[min(len(progress.answers), len(inputs) - 1)]
            try:
                output, lap = _one(device, data)
            except LinkLostError as error:
                sending.say(f"{error}; waiting for the board to come back")
                device.close()
                device = None
                device = _checked(_reconnect(connect, error, sending), inputs[0], sending)
                reconnects += 1
                continue
            if progress.answers:  # of ten thousand images, the parts of one are enough
                lap = replace(lap, outside=None, layers=(), functions=())
            progress.add(output, lap)
        answers = Answers(
            outputs=np.stack(
                [np.frombuffer(own, np.int8) for own, _ in progress.answers[: len(inputs)]]
            ),
            laps=[lap for _, lap in progress.answers],
            memory=device.memory(),
            banner=device.banner,
            counting=device.counting,
            emulator=device.emulator,
            reconnects=reconnects,
        )
    except DeployError as error:
        add_to(error, progress.kept)
        raise
    finally:
        if device is not None:
            device.close()
    progress.remove()
    return answers


def _checked(device: Device, data: bytes, sending: Sending) -> Device:
    """The device, if it is the right one; else it is closed."""
    found, size = device.banner.sha256, device.banner.input_bytes
    if sending.sha256 is not None and found != sending.sha256:
        device.close()
        raise WrongDeviceError(
            f"the device holds model {device.banner.model} with SHA-256 {found[:12]}..., "
            f"the run's has {sending.sha256[:12]}...: write the run's firmware with "
            "netbooster flash"
        )
    if len(data) != size:
        device.close()
        raise DeployError(
            f"an image has {len(data)} bytes, the model in {device.where} takes {size}; "
            "use the resolution and channels that it was trained for"
        )
    return device


def _one(device: Device, data: bytes) -> tuple[bytes, Lap]:
    """Send one input and read the answer, again where the line garbled one of them."""
    for attempt in range(1, _TRIES + 1):
        try:
            device.load_input(data)
            lap = device.infer()
            output = device.output()
            if len(output) != device.banner.output_bytes:
                raise GarbledAnswerError(
                    f"{device.where}: garbled answer to output: {len(output)} bytes of "
                    f"{device.banner.output_bytes}"
                )
            return output, lap
        except NOISE as error:
            if device.emulator is not None:  # its line has no noise
                raise
            if attempt == _TRIES:
                add_to(error, f" (try {attempt} of {_TRIES})")
                raise
            with contextlib.suppress(*NOISE):
                device.recover()
    raise AssertionError("unreachable")


def _reconnect(connect: Callable[[], Device], cause: DeviceError, sending: Sending) -> Device:
    deadline = time.monotonic() + sending.reconnect_seconds
    while True:
        try:
            return connect()
        except WrongDeviceError:
            raise
        except DeployError as error:
            if time.monotonic() > deadline:
                remedy = "plug it in again and give the same command"
                raise LinkLostError(f"{cause}; {remedy} ({error})") from error
            time.sleep(0.5)


def run_images(
    target: Target,
    elf: Path,
    images: np.ndarray,
    *,
    on: str | None = None,
    max_instructions: int = MAX_INSTRUCTIONS,
    timeout: float = INFERENCE_SECONDS,
) -> Answers:
    """Classify images on a target.

    Args:
        images: int8 [N, ...]; an image's bytes are the model's input tensor as it lies in memory.
        on: see :func:`~deploy.devices.opening.open_device`.

    Raises:
        DeployError: images of the wrong size or kind, or see :func:`ask`.
    """
    if images.dtype != np.int8 or len(images) == 0:
        raise DeployError(f"images are {images.dtype} [{len(images)}]; at least one, int8, is due")
    return ask(
        lambda: open_device(target, elf, on=on, max_instructions=max_instructions, timeout=timeout),
        [image.tobytes() for image in images],
    )
