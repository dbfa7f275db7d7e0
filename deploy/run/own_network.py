# SPDX-License-Identifier: Apache-2.0
"""A network from elsewhere, torch or ONNX, to an int8 flatbuffer."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.core.errors import DeployError
from deploy.core.stamps import hash_file
from deploy.run.ladder import METHODS, ROADS
from deploy.run.results import Quantized
from deploy.run.telling import Say
from netbooster.common.files import read_bytes, write_atomic

if TYPE_CHECKING:
    from torch import nn

_PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


def quantize_file(
    source: str,
    images: "str | Path | np.ndarray | None",
    *,
    method: str,
    ranges: str,
    via: str | None,
    allow_moves: bool,
    weights: Path | None,
    input_scale: float,
    input_zero_point: int,
    output: Path | None,
    say: Say,
) -> Quantized:
    """Quantize ``FILE.onnx`` or ``FILE.py:NAME``; arguments are those of ``run.quantize``.

    Modules go by our own writer, or by ONNX and TensorFlow, as .onnx files always do.

    Raises:
        DeployError: one line that names the file, the layer, the images or the option.
    """
    from deploy.quantize import load_user_module, split_reference

    reference = split_reference(source)
    file = Path(source) if reference is None else reference[0]
    if file.suffix == ".tflite":
        raise DeployError(f"{source}: is a flatbuffer already; give it to netbooster compile")
    if reference is None and file.suffix != ".onnx":
        raise DeployError(f"{source}: give a run folder, FILE.onnx or FILE.py:NAME")
    if reference is None and via == ROADS[0]:
        raise DeployError(f"{source}: our own writer reads torch modules, FILE.py:NAME, no ONNX")
    if reference is None and weights is not None:
        raise DeployError(f"--weights: {source} has its own; they go with FILE.py:NAME")
    if method == METHODS[-1]:
        raise DeployError(f"{method} trains, which needs a run; a file can be quantized by others")
    road = via or (ROADS[1] if reference is None else ROADS[0])
    if road != ROADS[0] and (method, ranges) != (METHODS[0], "min-max"):
        raise DeployError(
            f"--via {road} only knows post-training quantization with min-max ranges; "
            "leave method and ranges out"
        )
    data = read_bytes(file) if reference is None else b""
    if images is None:
        raise DeployError(f"{source}: --images is missing: training images that set the ranges")
    pixels = _load_images(images, input_scale, input_zero_point)
    target = output or file.with_suffix(".tflite")
    warnings: tuple[str, ...] = ()
    if reference is not None and road == ROADS[0]:
        from deploy.quantize import quantize_network

        result = quantize_network(
            load_user_module(*reference, weights),
            pixels,
            input_scale=input_scale,
            input_zero_point=input_zero_point,
            calibration_method=ranges,
            equalization=method == METHODS[1],
            bias_correction=method == METHODS[1],
            allow_moves=allow_moves,
        )
        warnings = tuple(result.warnings)
        for warning in warnings:
            say("quantize", f"warning: {warning}")
        flatbuffer = result.flatbuffer
    else:
        from deploy.quantize.via_onnx import convert_onnx

        bounds = None
        if reference is not None:
            data = _as_onnx(load_user_module(*reference, weights), pixels)
            low, high = (input_scale * (code - input_zero_point) for code in (-128, 127))
            bounds = low, high
        flatbuffer = convert_onnx(
            data,
            pixels,
            name=file.name,
            log=target.with_name(f"{target.name}.log"),
            input_range=bounds,
            allow_moves=allow_moves,
        )
    write_atomic(target, flatbuffer)
    say("quantize", f"{target} ({len(flatbuffer):,} bytes, int8)")
    return Quantized(
        tflite=target,
        name=target.stem,
        sha256=hash_file(target),
        bytes=len(flatbuffer),
        method=method,
        ranges=ranges,
        samples=len(pixels),
        via=road,
        warnings=warnings,
    )


def _load_images(images: "str | Path | np.ndarray", scale: float, zero_point: int) -> np.ndarray:
    if isinstance(images, np.ndarray):
        return images
    path = Path(images)
    if path.is_dir():
        return _load_pictures(path, scale, zero_point)
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise DeployError(f"{path}: not a .npy file of images ({error})") from error


def _load_pictures(folder: Path, scale: float, zero_point: int) -> np.ndarray:
    """Pictures of one size as the network sees them: the int8 input is the pixel less 128."""
    from PIL import Image

    rows: list[np.ndarray] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES):
        try:
            with Image.open(path) as picture:
                grey = picture.mode in ("1", "L", "I", "I;16")
                own = np.asarray(picture.convert("L" if grey else "RGB"))
        except (OSError, ValueError) as error:
            raise DeployError(f"{path}: cannot be read ({error}); replace or remove it") from error
        if rows and own.shape != rows[0].shape:
            raise DeployError(
                f"{path}: is {_size(own)}, pictures before it are {_size(rows[0])}; crop or "
                "resize all of them to the network's size"
            )
        rows.append(own)
    if not rows:
        raise DeployError(f"{folder}: holds no pictures ({', '.join(_PICTURES)})")
    pixels = np.stack(rows).reshape(len(rows), *rows[0].shape[:2], -1).transpose(0, 3, 1, 2)
    return (scale * (pixels.astype(np.float32) - 128 - zero_point)).astype(np.float32)


def _size(pixels: np.ndarray) -> str:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return f"{pixels.shape[1]}x{pixels.shape[0]}x{channels}"


def _as_onnx(module: "nn.Module", images: np.ndarray) -> bytes:
    from deploy.quantize import check_images
    from deploy.quantize.via_onnx import torch_to_onnx

    check_images(images)
    _, channels, height, width = images.shape
    return torch_to_onnx(module, (channels, height, width))
