# SPDX-License-Identifier: Apache-2.0
"""torch → int8 TFLite flatbuffer, without TensorFlow.

torch.fx traces the network (``trace``), the calibration images give every activation its range
(``calibrate``), ranges and weights become int8 (``assign``, ``scheme``), and the result is packed
into the bytes that TensorFlow Lite Micro reads (``writer``). ``ops/`` has one file an operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize.assign import assign_quantization
from deploy.quantize.bias_correction import corrected_biases
from deploy.quantize.calibrate import calibrate, channel_maxima, check_images
from deploy.quantize.equalize import equalize
from deploy.quantize.graph import FloatGraph
from deploy.quantize.moves import DATA_MOVES, needed_by
from deploy.quantize.scheme import representable
from deploy.quantize.tensors import ActivationRange, FloatTensor
from deploy.quantize.trace import trace
from deploy.quantize.writer import FlatbufferWriter, FloatWriter
from deploy.tflite import Quantization


@dataclass(frozen=True)
class TensorRecord:
    """One activation of the flatbuffer: its torch layers, quantization and calibrated range.

    The last of ``layers`` is the torch layer whose float output the tensor holds.
    """

    name: str
    operator: str  # TFLite's name; "" for the input
    layers: tuple[str, ...]
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    range: ActivationRange


@dataclass(frozen=True)
class QuantizedModel:
    """The flatbuffer, what to know about it, and where each tensor comes from.

    ``graph`` is the float network that was quantized (batch norms folded, channels equalized); its
    tensors have the names of the flatbuffer's.
    """

    flatbuffer: bytes
    warnings: tuple[str, ...]
    tensors: tuple[TensorRecord, ...]
    graph: FloatGraph

    def float_flatbuffer(self) -> bytes:
        """The same network in float32, for TFLite on a desktop."""
        return _write(FloatWriter(), self.graph, {})


def quantize_network(
    model: nn.Module,
    calibration: np.ndarray,
    *,
    input_scale: float | None = None,
    input_zero_point: int | None = None,
    calibration_method: str = "min-max",
    percentile: float = 99.99,
    metadata: Mapping[str, str] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    equalization: bool = False,
    bias_correction: bool = False,
    activations: Mapping[str, tuple[float, int]] | None = None,
    allow_moves: bool = True,
) -> QuantizedModel:
    """Quantize ``model`` and write it as a flatbuffer for TensorFlow Lite Micro.

    Batch 1, NHWC, int8 in and out; per-channel int8 weights, per-tensor for fully connected
    layers; batch norms folded, activations fused. The same input gives the same bytes.

    Args:
        model: traceable by torch.fx; used in eval mode, not changed.
        calibration: preprocessed training images, float32 [N, C, H, W]. Their size is the size
            that the flatbuffer is made for.
        input_scale, input_zero_point: quantization of the input, which the preprocessing fixes;
            default 1/128 and 0, for (pixel - 128) / 128.
        calibration_method: how ranges follow from the calibration images, one of
            ``CALIBRATION_METHODS``.
        percentile: for the method of that name, in percent.
        metadata: text entries that travel in the file.
        input_shape: (C, H, W) that the images must have; None accepts any.
        equalization: bring channels to similar ranges first (``equalize``).
        bias_correction: take the mean rounding error out of the biases (``bias_correction``).
        activations: scale and zero point of every activation by its name, from quantization-aware
            training; ranges of the calibration images are then only recorded.
        allow_moves: where the network forces operators that only move data (PAD, RESHAPE), warn
            and write them; otherwise refuse.

    Raises:
        DeployError: one line that names the layer or the calibration set, and the remedy.
    """
    calibration = np.asarray(calibration)
    check_images(calibration)
    shape = (calibration.shape[1], calibration.shape[2], calibration.shape[3])
    if input_shape is not None and shape != tuple(input_shape):
        raise DeployError(
            f"calibration images are (C, H, W) = {shape}, but the network was built for "
            f"{tuple(input_shape)}: preprocess them to that size"
        )
    source = _input_quantization(calibration, input_scale, input_zero_point)
    graph = trace(model, shape)
    if not allow_moves:
        _refuse_moves(graph)
    if equalization:
        equalize(graph, channel_maxima(graph, calibration))
    ranges = calibrate(graph, calibration, method=calibration_method, percentile=percentile)
    given = None
    if activations is not None:
        given = {name: _given(name, *pair) for name, pair in activations.items()}
    quantization = assign_quantization(graph, ranges, source, given)
    correction = (
        corrected_biases(graph, calibration, quantization) if bias_correction else nullcontext()
    )
    with correction:
        flatbuffer = _write(FlatbufferWriter(quantization), graph, metadata or {}, quantization)
    origins = {op.output: (op.operator, tuple(op.layers)) for op in graph.ops}
    records = []
    for tensor in graph.tensors():
        operator, layers = origins.get(tensor, ("", ()))
        own = quantization[tensor]
        records.append(
            TensorRecord(
                tensor.name,
                operator,
                layers,
                tensor.shape,
                own.scales[0],
                own.zero_points[0],
                ranges[tensor],
            )
        )
    return QuantizedModel(flatbuffer, tuple(graph.warnings), tuple(records), graph)


def _write(
    writer: FlatbufferWriter,
    graph: FloatGraph,
    metadata: Mapping[str, str],
    quantization: Mapping[FloatTensor, Quantization] | None = None,
) -> bytes:
    if quantization is None:
        # Float operators ask for a quantization, but nothing of it is written.
        quantization = {tensor: Quantization.per_tensor(1.0, 0) for tensor in graph.tensors()}
    writer.activation(graph.input)
    for op in graph.ops:
        op.emit(writer, quantization)
    return writer.finish(graph.input, graph.outputs, metadata)


def _refuse_moves(graph: FloatGraph) -> None:
    for op in graph.ops:
        readers = [other.operator for other in graph.ops if op.output in other.inputs]
        if op.operator in DATA_MOVES and not needed_by(op.operator, readers):
            reason = next((w for w in graph.warnings if f"'{op.layer}'" in w), "it moves data only")
            raise DeployError(
                f"layer '{op.layer}' would add the operator {op.operator}, which computes nothing: "
                f"{reason}; or allow it (--allow-moves)"
            )


def _given(name: str, scale: float, zero_point: int) -> Quantization:
    if not (np.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127):
        raise DeployError(
            f"layer '{name}': given scale {scale} and zero point {zero_point} are no int8 "
            "quantization: the scale must be positive, the zero point in [-128, 127]"
        )
    return Quantization.per_tensor(scale, zero_point)


def _input_quantization(
    images: np.ndarray, scale: float | None, zero_point: int | None
) -> Quantization:
    """The input's quantization; images outside of its range mean the wrong preprocessing."""
    scale = 1 / 128 if scale is None else float(scale)
    zero_point = 0 if zero_point is None else int(zero_point)
    if not (np.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127):
        raise DeployError(
            f"input scale {scale} and zero point {zero_point} are no int8 quantization: "
            "the scale must be positive, the zero point in [-128, 127]"
        )
    quantization = Quantization.per_tensor(scale, zero_point)
    low, high = representable(quantization)
    if images.min() < low - scale or images.max() > high + scale:
        raise DeployError(
            f"calibration images reach [{images.min():.4g}, {images.max():.4g}], but input scale "
            f"{scale:.6g} and zero point {zero_point} hold only [{low:.4g}, {high:.4g}]: "
            "pass the scale and zero point of their preprocessing"
        )
    return quantization
