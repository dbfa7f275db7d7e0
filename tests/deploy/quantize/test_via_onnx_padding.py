# SPDX-License-Identifier: Apache-2.0
"""Padding of ONNX files put in TFLite's terms: the same result, with paddings that TFLite has.

Needs the extra [onnx]: tools/check_onnx.sh (`make onnx`) runs these with it.
"""

import numpy as np
import pytest
import torch
from torch import nn

from deploy.quantize.via_onnx import onnx_available, torch_to_onnx
from deploy.quantize.via_onnx.padding import fold_padding

pytestmark = pytest.mark.skipif(
    onnx_available() is not None, reason=f"second road: {onnx_available()}"
)


def answers(data: bytes, image: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": image})[0])


def kinds(data: bytes) -> list[str]:
    import onnx

    return [node.op_type for node in onnx.load_model_from_string(data).graph.node]


def pads(data: bytes) -> list[list[int]]:
    """Explicit paddings that are left in windows."""
    import onnx

    return [
        list(entry.ints)
        for node in onnx.load_model_from_string(data).graph.node
        for entry in node.attribute
        if entry.name == "pads" and any(entry.ints)
    ]


@pytest.mark.parametrize("seed", range(40))
def test_random_convolutions_give_the_same(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (
        tuple(int(v) for v in rng.integers(1, most + 1, 2)) for most in (7, 3, 2)
    )
    padding = tuple(
        int(rng.integers(0, (k - 1) * d + 1)) for k, d in zip(kernel, dilation, strict=True)
    )
    groups = int(rng.choice([1, 4]))
    torch.manual_seed(seed)
    layer = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups)
    size = (4, *(int(v) for v in rng.integers(14, 24, 2)))
    data = torch_to_onnx(layer, size)
    folded = fold_padding(data)
    image = rng.standard_normal((1, *size)).astype(np.float32)
    np.testing.assert_allclose(answers(folded, image), answers(data, image), atol=1e-5)


@pytest.mark.parametrize(("kernel", "size"), [(3, 32), (5, 32), (7, 64), (3, 31)])
def test_symmetric_padding_at_stride_two_needs_no_pad(kernel, size):
    layer = nn.Conv2d(3, 4, kernel, 2, kernel // 2)
    folded = fold_padding(torch_to_onnx(layer, (3, size, size)))
    # At odd sizes SAME is symmetric already, and nothing changes.
    assert bool(pads(folded)) == bool(size % 2)


def test_shared_weights_grow_in_copies():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(4, 4, 3, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x))

    data = torch_to_onnx(Twice(), (4, 16, 16))
    image = np.random.default_rng(0).standard_normal((1, 4, 16, 16)).astype(np.float32)
    folded = fold_padding(data)
    assert not pads(folded)
    np.testing.assert_allclose(answers(folded, image), answers(data, image), atol=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Sigmoid()])
def test_a_max_pool_of_what_is_never_negative_pads_zeros(activation):
    data = torch_to_onnx(nn.Sequential(activation, nn.MaxPool2d(3, 2, 1)), (4, 16, 16))
    folded = fold_padding(data)
    assert "Pad" in kinds(folded) and not pads(folded)
    image = np.random.default_rng(0).standard_normal((1, 4, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(answers(folded, image), answers(data, image))


@pytest.mark.parametrize("activation", [nn.Identity(), nn.Tanh(), nn.Hardtanh(-1, 6)])
def test_a_max_pool_of_negative_values_keeps_its_padding(activation):
    data = torch_to_onnx(nn.Sequential(activation, nn.MaxPool2d(3, 2, 1)), (4, 16, 16))
    assert "Pad" not in kinds(fold_padding(data))
