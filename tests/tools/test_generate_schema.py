# SPDX-License-Identifier: Apache-2.0
"""The names that the reader of .tflite files uses are those of the schema."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from deploy.tflite import schema
from deploy.tflite.flatbuffer import Child, Children, Scalar, Text, Vector

TOOL = Path(__file__).parents[2] / "tools" / "generate_schema.py"


def test_the_committed_file_is_what_the_tool_writes():
    spec = importlib.util.spec_from_file_location("generate_schema", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.FILE.read_text() == tool.render()


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (schema.Conv2DOptions.DILATION_W_FACTOR, Scalar(4, "i", 1)),
        (schema.Buffer.OFFSET, Scalar(1, "Q", 0)),
        (schema.Tensor.IS_VARIABLE, Scalar(5, "?", 0)),
        (schema.SoftmaxOptions.BETA, Scalar(0, "f", 0.0)),
        (schema.QuantizationParameters.ZERO_POINT, Vector(3, "int64")),
        (schema.Model.SUBGRAPHS, Children(2)),
        (schema.Tensor.NAME, Text(3)),
        (schema.Operator.BUILTIN_OPTIONS, Child(4)),
    ],
)
def test_fields_of_every_kind(found, wanted):
    """As the schema on tensorflow.org has them."""
    assert found == wanted
    assert type(getattr(found, "default", 0)) is type(getattr(wanted, "default", 0))


def test_vectors_have_numpy_types():
    tables = [table for table in vars(schema).values() if isinstance(table, type)]
    vectors = [f for table in tables for f in vars(table).values() if isinstance(f, Vector)]
    assert len(vectors) > 10
    assert all(np.dtype(field.dtype).itemsize for field in vectors)
