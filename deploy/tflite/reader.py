# SPDX-License-Identifier: Apache-2.0
""".tflite bytes to a checked :class:`Graph`."""

import hashlib
import math

import numpy as np

from deploy.core.errors import DeployError
from deploy.tflite import schema
from deploy.tflite.border import strip_float_border
from deploy.tflite.flatbuffer import Children, FlatBuffer, Table, Vector
from deploy.tflite.ir import DType, Graph, Operator, Quantization, Tensor
from deploy.tflite.ops import find_operator, operator_name
from deploy.tflite.shapes import strip_shape_arithmetic

# Far above any model for a microcontroller; they bound the work that a hostile file can ask for.
MAX_TENSORS = 16384
MAX_OPERATORS = 16384
MAX_RANK = 6
MAX_BORDER_RANK = 4
MAX_OPERANDS = 64
MAX_TENSOR_BYTES = 1 << 30

_SUPPORTED_TYPES = frozenset(int(t) for t in DType) - {DType.STRING}


def read_graph(data: bytes, name: str) -> Graph:
    """Read and check a quantized model.

    Args:
        data: the .tflite flatbuffer.
        name: how messages call the model, usually its file name.

    Raises:
        DeployError: the bytes are not a TFLite model, break the format, hold an operator that is
            not supported, or are not quantized to int8.
    """
    graph = strip_float_border(strip_shape_arithmetic(parse_graph(data, name)))
    _refuse_float(graph)
    for op in graph.operators:
        _refuse_unknown(graph, op)
    if not graph.operators:
        raise DeployError(f"{graph.name}: it has no operators, so there is nothing to compile")
    _check_flow(graph)
    _check_border(graph)
    for op in graph.operators:
        module = find_operator(op.kind)
        assert module is not None  # _refuse_unknown has passed
        module.check(graph, op)
        expected = module.infer(graph, op)
        actual = graph.output(op).shape
        if expected != actual:
            raise graph.error(
                op,
                f"output {graph.output(op).label} is declared as {list(actual)} but must be "
                f"{list(expected)}; export the model again",
            )
    return graph


def parse_graph(data: bytes, name: str) -> Graph:
    """Read any model for looking at it: float ones and unknown operators too.

    Indices can be trusted; operators that the compiler does not know have no attributes, and
    nothing is checked that only the compiler needs.

    Raises:
        DeployError: the bytes are not a TFLite model or break the format.
    """
    buffer = FlatBuffer(data, name)
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise DeployError(f"{name}: not a TFLite model (no TFL3 identifier); give a .tflite file")
    root = buffer.root()
    version = root.integer(schema.Model.VERSION)
    if version != 3:
        raise DeployError(f"{name}: schema version {version}; only version 3 is known")
    count = root.length(schema.Model.SUBGRAPHS)
    if count != 1:
        raise DeployError(f"{name}: {count} subgraphs; only models with exactly one are supported")
    subgraph = next(root.tables(schema.Model.SUBGRAPHS))
    buffers = list(_limited(root, schema.Model.BUFFERS, 4 * MAX_TENSORS, "buffers"))
    tensors = tuple(
        _read_tensor(name, index, table, buffers)
        for index, table in enumerate(
            _limited(subgraph, schema.SubGraph.TENSORS, MAX_TENSORS, "tensors")
        )
    )
    codes = [
        _operator_code(t)
        for t in _limited(root, schema.Model.OPERATOR_CODES, MAX_OPERATORS, "operator codes")
    ]
    inputs = _indices(buffer, subgraph, schema.SubGraph.INPUTS, len(tensors), "graph inputs")
    outputs = _indices(buffer, subgraph, schema.SubGraph.OUTPUTS, len(tensors), "graph outputs")
    operators = []
    for index, table in enumerate(
        _limited(subgraph, schema.SubGraph.OPERATORS, MAX_OPERATORS, "operators")
    ):
        operators.append(_read_operator(name, index, table, codes, tensors))
    return Graph(name, hashlib.sha256(data).hexdigest(), tensors, tuple(operators), inputs, outputs)


def _refuse_float(graph: Graph) -> None:
    """One answer for the whole model where its input is float; int8 inside does not help."""
    activations = [tensor for tensor in graph.tensors if tensor.data is None]
    floats = [tensor for tensor in activations if tensor.dtype is DType.FLOAT32]
    if not any(graph.tensors[index] in floats for index in graph.inputs):
        return
    if any(op.kind == "QUANTIZE" for op in graph.operators):
        raise DeployError(
            f"{graph.name}: int8 inside, but a float32 input is read by more than one QUANTIZE; "
            "convert it again with inference_input_type = inference_output_type = tf.int8"
        )
    raise DeployError(
        f"{graph.name}: a float model ({len(floats)} of {len(activations)} activations are "
        "float32), only int8 runs here; quantize it: `netbooster quantize` from torch, or "
        "TensorFlow's converter with a representative dataset and int8 input and output"
    )


def _check_border(graph: Graph) -> None:
    """Inputs and outputs are what ``nb_model`` can describe."""
    for what, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in (graph.tensors[index] for index in indices):
            if tensor.dtype not in (DType.INT8, DType.UINT8):
                raise DeployError(
                    f"{graph.name}: {what} {tensor.label} is {tensor.dtype.numpy}; only int8 "
                    "and uint8 are supported"
                )
            if len(tensor.shape) > MAX_BORDER_RANK:
                raise DeployError(
                    f"{graph.name}: {what} {tensor.label} has {len(tensor.shape)} dimensions, at "
                    f"most {MAX_BORDER_RANK} are supported"
                )


def _refuse_unknown(graph: Graph, op: Operator) -> None:
    if find_operator(op.kind) is None:
        first = graph.output(op).label if op.outputs else "no output"
        raise DeployError(
            f"{graph.name}: operator {op.index} {op.kind} (output {first}) is not supported; "
            "see CONTRIBUTING.md, how to add an operator"
        )
    if len(op.outputs) != 1:
        raise DeployError(
            f"{graph.name}: operator {op.index} {op.kind} has {len(op.outputs)} outputs, not 1"
        )


def _limited(table: Table, field: Children, limit: int, what: str) -> list[Table]:
    if table.length(field) > limit:
        raise table.buffer.fail(f"{table.length(field)} {what}, at most {limit} are allowed")
    return list(table.tables(field))


def _operator_code(table: Table) -> tuple[int, str]:
    old = table.integer(schema.OperatorCode.DEPRECATED_BUILTIN_CODE)
    new = table.integer(schema.OperatorCode.BUILTIN_CODE)
    return max(old, new), table.text(schema.OperatorCode.CUSTOM_CODE)


def _indices(
    buffer: FlatBuffer, table: Table, field: Vector, count: int, what: str
) -> tuple[int, ...]:
    found = table.vector(field)
    if found is None or not len(found) or len(found) > MAX_OPERANDS:
        raise buffer.fail(f"{0 if found is None else len(found)} {what}")
    if found.min() < 0 or found.max() >= count:
        raise buffer.fail(f"{what} name a tensor that does not exist")
    values = tuple(int(v) for v in found)
    if len(set(values)) != len(values):
        raise buffer.fail(f"{what} name one tensor twice")
    return values


def _read_tensor(model: str, index: int, table: Table, buffers: list[Table]) -> Tensor:
    name = table.text(schema.Tensor.NAME)
    label = f"{model}: tensor {index} ({name!r})"
    code = table.integer(schema.Tensor.TYPE)
    if code not in _SUPPORTED_TYPES:
        raise DeployError(f"{label}: element type {code} of the schema is not supported")
    dtype = DType(code)
    shape = _read_shape(label, table)
    elements = math.prod(shape)
    if elements * dtype.size > MAX_TENSOR_BYTES:
        raise DeployError(f"{label}: {elements * dtype.size} bytes are more than a model can need")
    if table.truth(schema.Tensor.IS_VARIABLE):
        raise DeployError(f"{label}: variable tensors (state between runs) are not supported")
    if table.table(schema.Tensor.SPARSITY) is not None:
        raise DeployError(f"{label}: sparse tensors are not supported; export it dense")
    number = table.integer(schema.Tensor.BUFFER)
    if number >= len(buffers):
        raise DeployError(f"{label}: buffer {number} does not exist; the file is damaged")
    data = None
    holder = buffers[number]
    if holder.integer(schema.Buffer.OFFSET) or holder.integer(schema.Buffer.SIZE):
        raise DeployError(f"{label}: data outside the flatbuffer is not supported")
    raw = holder.vector(schema.Buffer.DATA) if number else None
    if raw is not None and len(raw):
        if len(raw) != elements * dtype.size:
            raise DeployError(
                f"{label}: its buffer has {len(raw)} bytes, its shape {list(shape)} needs "
                f"{elements * dtype.size}; the file is damaged"
            )
        data = raw.view(np.dtype(dtype.numpy)).reshape(shape)
    return Tensor(index, name, dtype, shape, _read_quantization(label, table, shape, dtype), data)


def _read_shape(label: str, table: Table) -> tuple[int, ...]:
    fixed = table.vector(schema.Tensor.SHAPE)
    # The signature holds -1 where a dimension is dynamic.
    for field in (schema.Tensor.SHAPE_SIGNATURE, schema.Tensor.SHAPE):
        found = table.vector(field)
        if found is None:
            continue
        # TensorFlow's converter leaves the batch open and writes 1 into the shape itself.
        if (
            field is schema.Tensor.SHAPE_SIGNATURE
            and fixed is not None
            and len(fixed) == len(found) > 0
        ):
            open_batch = found[0] == -1 and fixed[0] == 1
            found = np.concatenate([fixed[:1], found[1:]]) if open_batch else found
        if len(found) > MAX_RANK:
            raise DeployError(f"{label}: {len(found)} dimensions, at most {MAX_RANK} are supported")
        if len(found) and found.min() < 0:
            raise DeployError(
                f"{label}: shape {found.tolist()} is dynamic; export with fixed shapes (batch 1)"
            )
        if len(found) and found.min() == 0:
            raise DeployError(f"{label}: shape {found.tolist()} is empty; export the model again")
    found = table.vector(schema.Tensor.SHAPE)
    return () if found is None else tuple(int(v) for v in found)


def _read_quantization(
    label: str, table: Table, shape: tuple[int, ...], dtype: DType
) -> Quantization | None:
    quantization = table.table(schema.Tensor.QUANTIZATION)
    if quantization is None:
        return None
    scales = quantization.vector(schema.QuantizationParameters.SCALE)
    zeros = quantization.vector(schema.QuantizationParameters.ZERO_POINT)
    if scales is None or not len(scales):
        return None
    if quantization.integer(schema.QuantizationParameters.DETAILS_TYPE):
        raise DeployError(f"{label}: custom or block-wise quantization is not supported")
    if not np.isfinite(scales).all() or (scales <= 0).any():
        raise DeployError(f"{label}: a quantization scale is not a finite number above 0")
    axis = quantization.integer(schema.QuantizationParameters.QUANTIZED_DIMENSION)
    if len(scales) > 1 and (not 0 <= axis < len(shape) or shape[axis] != len(scales)):
        raise DeployError(
            f"{label}: {len(scales)} scales do not match dimension {axis} of {list(shape)}"
        )
    if zeros is None or not len(zeros):
        zeros = np.zeros(len(scales), np.int64)
    elif len(zeros) not in (1, len(scales)):
        raise DeployError(f"{label}: {len(zeros)} zero points for {len(scales)} scales")
    if dtype in (DType.INT8, DType.UINT8, DType.INT16):
        info = np.iinfo(dtype.numpy)
        if zeros.min() < info.min or zeros.max() > info.max:
            raise DeployError(f"{label}: a zero point is outside the range of {dtype.numpy}")
    elif zeros.any():
        raise DeployError(f"{label}: {dtype.numpy} with a zero point is not supported")
    if len(zeros) == 1:
        zeros = np.repeat(zeros, len(scales))
    return Quantization(tuple(scales.tolist()), tuple(zeros.tolist()), axis)


def _read_operator(
    model: str,
    index: int,
    table: Table,
    codes: list[tuple[int, str]],
    tensors: tuple[Tensor, ...],
) -> Operator:
    opcode = table.integer(schema.Operator.OPCODE_INDEX)
    if opcode >= len(codes):
        raise table.buffer.fail(f"operator {index} has code index {opcode} of {len(codes)}")
    operands = []
    for field, low, what in (
        (schema.Operator.INPUTS, -1, "inputs"),
        (schema.Operator.OUTPUTS, 0, "outputs"),
    ):
        found = table.vector(field)
        values = np.zeros(0, np.int32) if found is None else found
        if len(values) > MAX_OPERANDS:
            raise table.buffer.fail(f"operator {index} has {len(values)} {what}")
        if len(values) and (values.min() < low or values.max() >= len(tensors)):
            raise table.buffer.fail(f"operator {index} names a tensor that does not exist")
        operands.append(tuple(int(v) for v in values))
    inputs, outputs = operands
    kind = operator_name(*codes[opcode])
    module = find_operator(kind)
    if module is None:
        return Operator(index, kind, inputs, outputs, None)
    options_type = table.integer(schema.Operator.BUILTIN_OPTIONS_TYPE)
    options = table.table(schema.Operator.BUILTIN_OPTIONS)
    if options is not None and options_type != module.OPTIONS:
        raise DeployError(f"{model}: operator {index} {kind} has options of another operator")
    if options is None and module.NEEDS_OPTIONS:
        raise DeployError(f"{model}: operator {index} {kind} has no options; export it again")
    return Operator(index, kind, inputs, outputs, module.read(options))


def _check_flow(graph: Graph) -> None:
    """Every activation is written once, before it is read; constants are never written."""
    known = set(graph.inputs)
    for index in graph.inputs:
        if graph.tensors[index].data is not None:
            raise DeployError(f"{graph.name}: graph input {graph.tensors[index].label} is constant")
    for op in graph.operators:
        for position, index in enumerate(op.inputs):
            if index >= 0 and graph.tensors[index].data is None and index not in known:
                raise graph.error(op, "is read before anything writes it", position)
        for index in op.outputs:
            if index in known or graph.tensors[index].data is not None:
                raise graph.error(op, f"writes {graph.tensors[index].label} a second time")
            known.add(index)
    for index in graph.outputs:
        if index not in known:
            raise DeployError(
                f"{graph.name}: graph output {graph.tensors[index].label} is never computed"
            )
