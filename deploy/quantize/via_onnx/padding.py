# SPDX-License-Identifier: Apache-2.0
"""Padding of an ONNX file in the terms that TFLite has, as our own writer puts it.

ONNX and torch pad any number on each side, TFLite only SAME and VALID. What fits neither becomes a
PAD in TensorFlow's converter, before a max pool even a PADV2 that TFLM's int8 lacks. Here a
convolution's kernel grows by zeros until SAME fits (``deploy.quantize.geometry``), and a max pool
of values that are never negative gets zeros padded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.quantize.geometry import PaddedWindow, PaddingFit, fit_padding

if TYPE_CHECKING:
    import onnx

_POSITIVE = {"Relu", "Sigmoid", "Softmax", "HardSigmoid"}


def fold_padding(data: bytes) -> bytes:
    """The ONNX file with paddings that TFLite has, where there are such; the same result.

    Args:
        data: a sound ONNX file with an image input of fixed size.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data))
    sizes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.value_info]
    }
    nodes = []
    for node in model.graph.node:
        windows = _windows(model, node, sizes.get(node.input[0] if node.input else "", []))
        if windows is not None and node.op_type == "Conv":
            fit = fit_padding(*windows, growable=True)
            # onnxruntime, which checks activations, has no SAME with dilation.
            if fit is not None and fit.grows and all(own.dilation == 1 for own in windows):
                _grow(model, node, fit)
        elif (
            windows is not None
            and fit_padding(*windows, growable=False) is None
            and _never_negative(model, node.input[0])
        ):
            nodes.append(_pad_first(model, node))
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    weights = [own for own in model.graph.initializer if own.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
    return bytes(model.SerializeToString())


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    import onnx

    found = [entry for entry in node.attribute if entry.name == name]
    return onnx.helper.get_attribute_value(found[0]) if found else default


def _set(node: onnx.NodeProto, name: str, value: Any) -> None:
    import onnx

    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def _windows(
    model: onnx.ModelProto, node: onnx.NodeProto, shape: list[int]
) -> tuple[PaddedWindow, PaddedWindow] | None:
    """The windows of a padded two-dimensional Conv or MaxPool along height and width."""
    if node.op_type not in ("Conv", "MaxPool") or len(shape) != 4 or min(shape[2:]) < 1:
        return None
    if _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET" or _attribute(node, "ceil_mode", 0):
        return None
    pads = _attribute(node, "pads", [0, 0, 0, 0])
    if not any(pads):
        return None
    kernel = _attribute(node, "kernel_shape", None)
    if kernel is None:
        weights = _initializer(model, node.input[1])
        if weights is None:
            return None
        kernel = list(weights.dims[2:])
    strides = _attribute(node, "strides", [1, 1])
    dilations = _attribute(node, "dilations", [1, 1])
    height, width = (
        PaddedWindow(
            shape[2 + axis],
            kernel[axis],
            strides[axis],
            dilations[axis],
            pads[axis],
            pads[2 + axis],
        )
        for axis in (0, 1)
    )
    return height, width


def _initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto | None:
    return next((own for own in model.graph.initializer if own.name == name), None)


def _grow(model: onnx.ModelProto, node: onnx.NodeProto, fit: PaddingFit) -> None:
    """Zeros around the kernel, in a copy of its own: several layers may share weights."""
    import onnx

    weights = _initializer(model, node.input[1])
    if weights is None:  # computed in the graph: left to the converter
        return
    values = np.pad(onnx.numpy_helper.to_array(weights), ((0, 0), (0, 0), fit.rows, fit.columns))
    node.input[1] = f"{weights.name}.{node.output[0]}.same"
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, node.input[1]))
    _set(node, "kernel_shape", list(values.shape[2:]))
    _set(node, "auto_pad", "SAME_UPPER")
    kept = [entry for entry in node.attribute if entry.name != "pads"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _never_negative(model: onnx.ModelProto, name: str) -> bool:
    import onnx

    maker = next((own for own in model.graph.node if name in own.output), None)
    if maker is None or maker.op_type != "Clip":
        return maker is not None and maker.op_type in _POSITIVE
    bound = maker.input[1] if len(maker.input) > 1 else ""
    constants = {own.name: own for own in model.graph.initializer}
    constants |= {
        own.output[0]: _attribute(own, "value", None)
        for own in model.graph.node
        if own.op_type == "Constant"
    }
    low = constants.get(bound)
    return low is not None and float(onnx.numpy_helper.to_array(low).min()) >= 0


def _pad_first(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto:
    """A Pad by zeros in front of ``node``, which then pads nothing."""
    import onnx

    top, left, bottom, right = _attribute(node, "pads", None)
    name = f"{node.output[0]}.pads"
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(
            np.array([0, 0, top, left, 0, 0, bottom, right], np.int64), name
        )
    )
    pad = onnx.helper.make_node(
        "Pad", [node.input[0], name], [f"{node.output[0]}.padded"], name=f"{node.name}.pad"
    )
    node.input[0] = pad.output[0]
    _set(node, "pads", [0, 0, 0, 0])
    return pad
