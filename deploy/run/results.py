# SPDX-License-Identifier: Apache-2.0
"""What the stages hand on: paths, hashes and figures of what they made."""

from dataclasses import dataclass, field
from pathlib import Path

from deploy.build.firmware import Sizes


@dataclass(frozen=True)
class Quantized:
    """An int8 flatbuffer.

    Attributes:
        tflite: the file.
        name: what firmware and messages call the network.
        sha256: of the file.
        bytes: of the file.
        method: post-training, equalized or quantization-aware.
        ranges: how the ranges of the activations were set.
        samples: images that set them.
        via: the road from torch to TFLite.
        warnings: what costs more memory or accuracy than it had to; one line each.
        run: the run folder that it lies in; None for a network from elsewhere.
    """

    tflite: Path
    name: str
    sha256: str
    bytes: int
    method: str
    ranges: str
    samples: int
    via: str
    warnings: tuple[str, ...] = ()
    run: Path | None = None


@dataclass(frozen=True)
class Compiled:
    """A folder of generated C and its memory plan.

    Attributes:
        generated: the folder; it builds with CMake alone.
        tflite: the file that it was made from.
        target: the board for whose RAM it was planned.
        schedule, input: how layers take turns, and how the input arrives.
        layers: how many kernel calls an inference makes.
        arena_bytes: activations and scratch.
        weights_bytes, tables_bytes: constants in flash.
        run: the run folder that it lies in; None for a single file.
    """

    generated: Path
    name: str
    tflite: Path
    tflite_sha256: str
    target: str
    schedule: str
    input: str
    layers: int
    arena_bytes: int
    weights_bytes: int
    tables_bytes: int
    run: Path | None = None


@dataclass(frozen=True)
class Firmware:
    """A program for a target.

    Attributes:
        elf: the program.
        engine: nb (our C), or tflm (the interpreter in the same harness).
        sha256: of the program.
        sizes: bytes of its parts.
        compiler, flags: what built it.
        tflite: the model in it, as a file; None where only generated C was given.
        generated: the C that it was built from.
        host_library: the same C for this machine; None where none was built.
        accuracy: int8 accuracy of that on the test images, 0..1; None outside of a run.
        test_images: how many they are.
        library_sha256: of the interpreter's library, with the engine tflm in a run.
        run: the run folder that it lies in; None outside of one.
    """

    elf: Path
    name: str
    target: str
    engine: str
    sha256: str
    sizes: Sizes
    compiler: str
    flags: str
    tflite: Path | None
    generated: Path
    host_library: Path | None = None
    accuracy: float | None = None
    test_images: int | None = None
    library_sha256: str | None = None
    run: Path | None = None


@dataclass(frozen=True)
class Report:
    """A page of evidence.

    Attributes:
        path: ``report.html``.
        kept: whether the budget is kept; None where it could not be checked.
        lines: the verdict, then what needs attention.
    """

    path: Path
    kept: bool | None
    lines: tuple[str, ...] = field(default=())
