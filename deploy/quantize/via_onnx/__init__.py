# SPDX-License-Identifier: Apache-2.0
"""The second road: torch → ONNX → onnx2tf → TensorFlow's converter → int8 .tflite.

For a user's .onnx file, and as the cross-check of our own writer: both must give the same
operators. Needs the extra ``[onnx]``. The converters are other people's programs that print much
and may crash, so they run in a process of their own, in a temporary folder, with their log kept.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize.calibrate import check_images
from deploy.quantize.moves import DATA_MOVES, needed_by
from deploy.quantize.via_onnx.padding import fold_padding
from deploy.quantize.writer import pack
from deploy.tflite import Graph, Operator, parse_graph, supported_operators
from netbooster.common.files import write_atomic

__all__ = [
    "check_operators",
    "convert_onnx",
    "onnx_available",
    "onnx_input",
    "torch_to_onnx",
    "weighted_layers",
]

OPSET = 17
_NEEDED = (
    "onnx", "onnx2tf", "onnx_graphsurgeon", "onnxruntime", "onnxsim", "psutil", "sng4onnx",
    "tensorflow", "tf_keras",
)  # fmt: skip
_SECONDS = 1800
_WEIGHTED = {"Conv", "Gemm", "MatMul"}  # of ONNX, and what TensorFlow makes of them:
_WEIGHTED_TFLITE = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def onnx_available() -> str | None:
    """None where the second road can be taken, else the reason why not."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed; pip install 'netbooster[onnx]'"
    return None


def torch_to_onnx(model: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """``model`` as an ONNX file for one image (C, H, W).

    Raises:
        DeployError: the extra is not installed, or torch cannot export the model.
    """
    _require_extra()
    import io

    buffer: Any = io.BytesIO()  # torch takes streams too, though its types say paths
    was_training = model.training
    try:
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, *shape),),
            buffer,
            input_names=["input"],
            output_names=["output"],
            opset_version=OPSET,
            dynamo=False,
        )
    except Exception as error:  # torch raises many kinds here
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DeployError(
            f"{type(model).__name__} cannot be written as ONNX ({line}); "
            "the default road, without --via, does not need it"
        ) from error
    finally:
        model.train(was_training)
    return bytes(buffer.getvalue())


def onnx_input(data: bytes, name: str) -> tuple[str, tuple[int, int, int]]:
    """Name and (C, H, W) of the one image input of an ONNX file.

    Raises:
        DeployError: damaged, of a newer opset, with several inputs, with dynamic sizes, or with
            weights that are NaN or infinite.
    """
    _require_extra()
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has its own exceptions
        raise DeployError(f"{name}: not an ONNX file, or damaged; export it again") from error
    if not model.graph.node:
        raise DeployError(f"{name}: not an ONNX file, or damaged (no operators); export it again")
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version > newest:
            raise DeployError(
                f"{name}: opset {entry.version}, but the installed onnx {onnx.__version__} knows "
                f"opsets up to {newest}; export it with opset_version={OPSET}"
            )
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DeployError(
                f"{name}: weights '{tensor.name}' hold NaN or infinity; train it again from a "
                "sound state"
            )
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise DeployError(f"{name}: {len(inputs)} inputs; only networks with one image are known")
    sizes = [
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or "?")
        for dim in inputs[0].type.tensor_type.shape.dim
    ]
    fixed = [size for size in sizes[1:] if isinstance(size, int) and size > 0]
    if len(sizes) != 4 or len(fixed) != 3:
        raise DeployError(
            f"{name}: input '{inputs[0].name}' has the sizes {sizes}; export it for one image "
            "[1, C, H, W] of fixed size"
        )
    return inputs[0].name, (fixed[0], fixed[1], fixed[2])


def convert_onnx(
    data: bytes,
    calibration: np.ndarray,
    *,
    name: str,
    log: Path,
    input_range: tuple[float, float] | None = None,
    check: bool = True,
    allow_moves: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """An ONNX file as int8 .tflite, by onnx2tf and TensorFlow.

    Args:
        calibration: preprocessed images, float32 [N, C, H, W].
        name: how messages call the file.
        log: where the converters' output is kept when they fail.
        input_range: the smallest and largest value that an input pixel can have. Two pixels of the
            first calibration image are set to them, so that the converter gives the input exactly
            that range.
        check: refuse operators that TFLM's int8 does not need (``check_operators``).
        allow_moves: but let PAD, RESHAPE and the like pass.
        metadata: text entries that travel in the file.

    Raises:
        DeployError: bad input, a crash of a converter (one line of its log is shown), or operators
            that do not belong there.
    """
    check_images(calibration)
    source, shape = onnx_input(data, name)
    if calibration.shape[1:] != shape:
        raise DeployError(
            f"calibration images are (C, H, W) = {calibration.shape[1:]}, but {name} reads {shape}"
        )
    images = np.ascontiguousarray(calibration.transpose(0, 2, 3, 1), np.float32)
    if input_range is not None:
        images = images.copy()
        images[0].reshape(-1)[0], images[0].reshape(-1)[-1] = input_range
    with tempfile.TemporaryDirectory(prefix="nb_onnx_") as folder:
        work = Path(folder)
        (work / "model.onnx").write_bytes(fold_padding(data))
        np.save(work / "calibration.npy", images)
        if shape[0] == 3:  # onnx2tf would download its own sample images
            sample = np.zeros((20, 128, 128, 3), np.float32)
            np.save(work / "calibration_image_sample_data_20x128x128x3_float32.npy", sample)
        output = _run_worker(work, source, name, log)
    if check:
        check_operators(parse_graph(output, name), weighted_layers(data), allow_moves=allow_moves)
    return _with_metadata(output, metadata or {})


def check_operators(graph: Graph, layers: Sequence[str] = (), *, allow_moves: bool = False) -> None:
    """Refuse a graph with operators that move data about, or that our int8 does not have.

    Args:
        layers: of the torch network, each with weights, in order (``weighted_layers``).
        allow_moves: let operators pass that only move data.

    Raises:
        DeployError: names the operator and the layer that it came from.
    """
    known = set(supported_operators())
    for op in graph.operators:
        readers = [other.kind for other in graph.operators if op.outputs[0] in other.inputs]
        if op.kind in DATA_MOVES and not allow_moves and not needed_by(op.kind, readers):
            what = "is not needed in int8"
        elif op.kind not in known:
            what = "has no int8 kernel here"
        else:
            continue
        raise DeployError(
            f"{graph.name}: operator {op.index} {op.kind} ({_origin(graph, op, layers)}) "
            f"{what}; pad as TFLite's SAME does, or use the default road (without --via)"
        )


def _origin(graph: Graph, op: Operator, layers: Sequence[str]) -> str:
    """Where an operator comes from: the layer with weights behind it, or else in front of it.

    TensorFlow's names tell nothing of torch, but layers with weights keep their order.
    """
    weighted = [other.index for other in graph.operators if other.kind in _WEIGHTED_TFLITE]
    name = f"from '{graph.output(op).name}'" if op.outputs else "without output"
    if not layers or len(weighted) != len(layers):
        return name
    if op.index in weighted:
        return f"layer '{layers[weighted.index(op.index)]}'"
    behind = [place for place, index in enumerate(weighted) if index > op.index]
    if behind:
        return f"in front of layer '{layers[behind[0]]}'"
    return f"behind layer '{layers[-1]}'"


def weighted_layers(data: bytes) -> list[str]:
    """The torch layers with weights in an ONNX file, in order; ONNX's own names in foreign ones."""
    _require_extra()
    import onnx

    model = onnx.load_model_from_string(data)
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {name for n in model.graph.node if n.op_type == "Constant" for name in n.output}
    found = [
        _module_path(node.name or node.output[0])
        for node in model.graph.node
        if node.op_type in _WEIGHTED and len(node.input) > 1 and node.input[1] in constants
    ]
    return found


def _module_path(node: str) -> str:
    """torch's "/blocks/blocks.0/conv/Conv" as the module's path "blocks.0.conv"."""
    path: list[str] = []
    before = ""
    for part in node.strip("/").split("/")[:-1]:
        nested = bool(before) and part.startswith(f"{before}.")
        path.append(part[len(before) + 1 :] if nested else part)
        before = part
    return ".".join(path) or node


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same model with only these entries, all buffers inside the file."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    model.metadata = []
    for key in sorted(metadata):
        entry, buffer = schema.MetadataT(), schema.BufferT()
        buffer.data = np.frombuffer(metadata[key].encode(), np.uint8)
        entry.name, entry.buffer = key, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata.append(entry)
    return pack(model)


def _run_worker(work: Path, source: str, name: str, log: Path) -> bytes:
    environment = dict(os.environ)
    # onnx2tf looks for its tools beside Python, wherever the caller's PATH points to.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    environment.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2")
    shutil.copyfile(Path(__file__).with_name("worker.py"), work / "worker.py")
    command = [sys.executable, "worker.py", source]
    output = work / "model.tflite"
    try:
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=_SECONDS,
            errors="replace",
        )  # fmt: skip
        text, failed = done.stdout + done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired as error:
        text, failed = f"{error}", True
    if failed or not output.is_file():
        write_atomic(log, text)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if "rror" in line), "it crashed")
        raise DeployError(f"{name}: the converter failed ({reason[:160]}); its log: {log}")
    return output.read_bytes()


def _require_extra() -> None:
    reason = onnx_available()
    if reason is not None:
        raise DeployError(f"--via onnx2tf: {reason}")
