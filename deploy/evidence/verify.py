# SPDX-License-Identifier: Apache-2.0
"""Float against int8, tensor by tensor, and the accuracy of every road from torch to C.

The float network is the one that was quantized (batch norms folded); the int8 one runs in the
TFLite Micro interpreter, which keeps every tensor, and as generated C on the host. The two int8
roads must agree in every byte; float and int8 differ, and this says where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from deploy.build.host_model import HostModel
from deploy.codegen import Plan
from deploy.core.errors import DeployError
from deploy.quantize import QuantizedModel, run_float
from deploy.tflite import TflmModel, parse_graph, tflm_available

_BATCH = 8
_LARGEST_DB = 200.0  # stands for "no difference", which has no logarithm


@dataclass(frozen=True)
class TensorError:
    """How far int8 is from float in one tensor, over all images looked at.

    Attributes:
        layers: the torch layers that it comes from.
        sqnr_db: signal to quantization noise, decibels.
        cosine: similarity of the two tensors, 1 is equal.
        max_error: largest difference, in real numbers; ``max_codes`` in steps of its scale.
        added_noise: noise-to-signal ratio less that of the noisiest input: what this layer added.
        channel_balance: median of the channels' ranges over the largest; near 0 a few channels
            take the scale and the others keep few codes.
        clipped: share of float values outside of what int8 can hold.
        host_equal: whether generated C wrote the same bytes; None where its schedule never holds
            the tensor as a whole.
    """

    name: str
    operator: str
    layers: tuple[str, ...]
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    sqnr_db: float
    cosine: float
    max_error: float
    max_codes: float
    added_noise: float
    channel_balance: float
    clipped: float
    host_equal: bool | None


@dataclass(frozen=True)
class Verification:
    """The result: ``accuracy`` by road (None: not run, see ``reason``), ``tensors`` in order."""

    tensors: tuple[TensorError, ...]
    accuracy: dict[str, float | None]
    images: int
    tensor_images: int
    exact: bool | None
    reason: str | None
    differences: tuple[str, ...] = field(default=())

    @property
    def watch(self) -> TensorError:
        """The tensor whose layer adds most noise: where the error jumps."""
        return max(self.tensors[1:], key=lambda tensor: tensor.added_noise)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"format": 1, **asdict(self), "watch": self.watch.name}


class _Sums:
    """Running sums over images, of float and int8 values of one tensor."""

    def __init__(self) -> None:
        self.signal = self.noise = self.product = self.energy = self.largest = self.outside = 0.0
        self.count = 0
        self.channels: np.ndarray = np.zeros(0)

    def add(self, real: np.ndarray, approximate: np.ndarray, low: float, high: float) -> None:
        """One image; channels last."""
        self.signal += float((real**2).sum())
        self.energy += float((approximate**2).sum())
        self.product += float((real * approximate).sum())
        difference = real - approximate
        self.noise += float((difference**2).sum())
        self.largest = max(self.largest, float(np.abs(difference).max()))
        self.outside += float(((real < low) | (real > high)).sum())
        self.count += real.size
        channels = np.abs(real).reshape(-1, real.shape[-1]).max(axis=0)
        self.channels = np.maximum(self.channels, channels) if self.channels.size else channels

    @property
    def ratio(self) -> float:
        """Noise over signal; of a tensor that is zero everywhere, 0 or infinity."""
        if self.signal == 0:
            return 0.0 if self.noise == 0 else float("inf")
        return self.noise / self.signal


def verify(
    result: QuantizedModel,
    host: HostModel,
    plan: Plan,
    *,
    float_model: Callable[[np.ndarray], np.ndarray],
    batches: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    tensor_images: int = 16,
) -> Verification:
    """Compare every road on a validation set.

    Args:
        result: the int8 model, with the float network that was quantized.
        host, plan: the generated C, built for this machine.
        float_model: the trained network, float32 [N, C, H, W] to logits.
        batches: (normalized float32 [N, C, H, W], int8 [N, H, W, C], labels [N]) of every image.
        tensor_images: so many images, the first ones, are compared tensor by tensor.

    Raises:
        DeployError: the set is empty.
    """
    if not sum(len(labels) for _, _, labels in batches):
        raise DeployError("the validation set is empty: give at least one image")
    labels = np.concatenate([own for _, _, own in batches])
    codes = np.concatenate([own for _, own, _ in batches])
    images = np.concatenate([own for own, _, _ in batches])
    reason = tflm_available()
    ours = host.invoke(codes).reshape(len(codes), -1)
    answers: dict[str, np.ndarray | None] = {
        "float_torch": np.concatenate([float_model(own) for own, _, _ in batches]),
        "float_tflite": _run_litert(result.float_flatbuffer(), images),
        "int8_tflm": None,
        "int8_c": ours,
    }
    differences: list[str] = []
    if reason is None:
        interpreter = TflmModel(result.flatbuffer)
        tflm = np.stack([interpreter.invoke(item[None]).reshape(-1) for item in codes])
        answers["int8_tflm"] = tflm
        wrong = np.flatnonzero((tflm != ours).any(axis=1))
        if len(wrong):
            bytes_wrong = int((tflm != ours).sum())
            differences.append(f"output: {bytes_wrong} bytes, first at image {wrong[0]}")
    tensors, wrong_tensors = _compare_tensors(
        result, host, plan, images[:tensor_images], codes[:tensor_images], with_tflm=reason is None
    )
    differences = [*wrong_tensors, *differences]
    return Verification(
        tensors=tensors,
        accuracy={
            road: None if own is None else float((own.argmax(axis=1) == labels).mean())
            for road, own in answers.items()
        },
        images=len(labels),
        tensor_images=min(tensor_images, len(labels)),
        exact=None if reason is not None else not differences,
        reason=reason,
        differences=tuple(differences),
    )


def _compare_tensors(
    result: QuantizedModel,
    host: HostModel,
    plan: Plan,
    images: np.ndarray,
    codes: np.ndarray,
    *,
    with_tflm: bool,
) -> tuple[tuple[TensorError, ...], list[str]]:
    """Errors of every tensor, and a line for each that generated C computes differently.

    Without the interpreter, int8 values come from the generated C, as far as it holds them.
    """
    file = parse_graph(result.flatbuffer, plan.name)
    numbers = {tensor.name: tensor.index for tensor in file.tensors}
    records = {record.name: record for record in result.tensors}
    interpreter = TflmModel(result.flatbuffer, keep_tensors=True) if with_tflm else None
    sums = {name: _Sums() for name in records}
    equal: dict[str, bool | None] = dict.fromkeys(records)
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(np.ascontiguousarray(images[start : start + _BATCH]))
        reals = {tensor.name: own for tensor, own in run_float(result.graph, batch).items()}
        for item in range(len(batch)):
            image = codes[start + item]
            written = host.layer_outputs(plan, image)
            if interpreter is not None:
                interpreter.invoke(image[None])
            for name, record in records.items():
                mine = image.reshape(-1).view(np.uint8) if name == "input" else written.get(name)
                if interpreter is not None:
                    value = interpreter.tensor(numbers[name]).reshape(-1)
                    if mine is not None and len(mine) == len(value.view(np.uint8)):
                        same = bool(np.array_equal(value.view(np.uint8), mine))
                        equal[name] = same and equal[name] is not False
                elif mine is not None:
                    value = mine.view(np.int8)
                else:
                    continue
                own = reals[name][item].numpy().astype(np.float64)
                own = own.transpose(1, 2, 0) if own.ndim == 3 else own
                approximate = (value.astype(np.float64) - record.zero_point) * record.scale
                low, high = (record.scale * (end - record.zero_point) for end in (-128.5, 127.5))
                sums[name].add(own, approximate.reshape(own.shape), low, high)
    return _errors(result, sums, equal), [
        f"tensor {name}: generated C differs from TFLM" for name, ok in equal.items() if ok is False
    ]


def _errors(
    result: QuantizedModel, sums: dict[str, _Sums], equal: dict[str, bool | None]
) -> tuple[TensorError, ...]:
    sources = {op.output.name: [t.name for t in op.inputs] for op in result.graph.ops}
    errors = []
    for record in result.tensors:
        own = sums[record.name]
        if not own.count:
            continue
        before = max((sums[name].ratio for name in sources.get(record.name, [])), default=0.0)
        length = float(np.sqrt(own.signal * own.energy))
        ranges = own.channels[own.channels > 0]
        sqnr = -10 * np.log10(own.ratio) if own.ratio > 0 else _LARGEST_DB
        errors.append(
            TensorError(
                name=record.name,
                operator=record.operator,
                layers=record.layers,
                shape=record.shape,
                scale=record.scale,
                zero_point=record.zero_point,
                sqnr_db=float(np.clip(sqnr, -_LARGEST_DB, _LARGEST_DB)),
                cosine=own.product / length if length else float(own.signal == own.energy),
                max_error=own.largest,
                max_codes=own.largest / record.scale,
                added_noise=float(np.clip(own.ratio - before, -1e9, 1e9)),
                channel_balance=float(np.median(ranges) / ranges.max()) if ranges.size else 0.0,
                clipped=own.outside / own.count,
                host_equal=equal[record.name],
            )
        )
    return tuple(errors)


def _run_litert(flatbuffer: bytes, images: np.ndarray) -> np.ndarray:
    """Logits of a float flatbuffer on the desktop's TFLite runtime."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=flatbuffer, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    answers = []
    for image in images.transpose(0, 2, 3, 1).astype(np.float32):
        interpreter.set_tensor(source, np.ascontiguousarray(image[None]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(target).reshape(-1))
    return np.stack(answers)


def plot_svg(verification: Verification, title: str) -> str:
    """SQNR of every tensor as an SVG; the same numbers give the same bytes."""
    import io

    import matplotlib
    from matplotlib.figure import Figure

    names = [tensor.name for tensor in verification.tensors[1:]]
    values = [tensor.sqnr_db for tensor in verification.tensors[1:]]
    watch = names.index(verification.watch.name)
    with matplotlib.rc_context({"svg.hashsalt": "netbooster", "svg.fonttype": "none"}):
        figure = Figure(figsize=(max(8.0, 0.18 * len(names)), 4.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(range(len(names)), values, marker="o", markersize=3, linewidth=1)
        axes.plot([watch], [values[watch]], marker="o", color="tab:red", linestyle="none")
        axes.annotate(
            names[watch],
            (watch, values[watch]),
            (6, 8),
            textcoords="offset points",
            color="tab:red",
        )
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_ylabel("SQNR, dB")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
