# SPDX-License-Identifier: Apache-2.0
"""The second road, against our own writer. Needs the extra [onnx]; without it only the refusal.

``NETBOOSTER_REQUIRE_ONNX=1`` (set where the extra must be there) turns a skip into a failure.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize import quantize_network
from deploy.quantize.via_onnx import (
    OPSET,
    check_operators,
    convert_onnx,
    onnx_available,
    onnx_input,
    torch_to_onnx,
)
from deploy.tflite import parse_graph

PEERS = Path(__file__).parents[2] / "data" / "peers"
_REASON = onnx_available()


@pytest.fixture(scope="session")
def extra() -> None:
    if _REASON is not None:
        if os.environ.get("NETBOOSTER_REQUIRE_ONNX") == "1":
            pytest.fail(_REASON)
        pytest.skip(_REASON)


class Net(nn.Module):
    """Every operator of the project's networks once, for 16x16 images."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pad, self.stem = nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2)
        self.depthwise, self.project = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.act, self.pool, self.last = nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.stem(self.pad(x)))
        x = x + self.project(self.act(self.depthwise(x)))
        return self.last(torch.flatten(self.pool(x), 1))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    codes = np.random.default_rng(0).integers(-128, 128, (24, 3, 16, 16))
    return codes.astype(np.float32) / 128


@pytest.fixture(scope="module")
def onnx_file(extra) -> bytes:
    return torch_to_onnx(Net(), (3, 16, 16))


@pytest.fixture(scope="module")
def converted(onnx_file, images, tmp_path_factory) -> bytes:
    log = tmp_path_factory.mktemp("onnx") / "log.txt"
    return convert_onnx(onnx_file, images, name="net", log=log, input_range=(-1, 127 / 128))


def sqnr(data: bytes, images: np.ndarray, expected: np.ndarray) -> float:
    from deploy.tflite.tflm import TflmModel

    model, graph = TflmModel(data), parse_graph(data, "net")
    codes = np.rint(images * 128).astype(np.int8).transpose(0, 2, 3, 1)
    answers = np.stack([model.invoke(np.ascontiguousarray(i[None]))[0] for i in codes])
    own = graph.tensors[graph.outputs[0]].quantization
    values = (answers.astype(float) - own.zero_points[0]) * own.scales[0]
    return float(10 * np.log10((expected**2).sum() / ((expected - values) ** 2).sum()))


def test_both_roads_give_the_same_operators(converted, images):
    own = parse_graph(quantize_network(Net(), images).flatbuffer, "own")
    other = parse_graph(converted, "other")
    assert [op.kind for op in other.operators] == [op.kind for op in own.operators]
    for ours, theirs in zip(own.operators, other.operators, strict=True):
        # TFLM reads [1, 1, 1, C] and [1, C] alike.
        shapes = own.output(ours).shape, other.output(theirs).shape
        assert [n for n in shapes[0] if n != 1] == [n for n in shapes[1] if n != 1]
        if own.optional_input(ours, 1) is not None and own.input(ours, 1).data is not None:
            a, b = own.input(ours, 1), other.input(theirs, 1)
            assert a.dtype == b.dtype and a.shape == b.shape
            if ours.kind != "MEAN" and a.quantization is not None and b.quantization is not None:
                assert len(a.quantization.scales) == len(b.quantization.scales)
    source = other.tensors[other.inputs[0]].quantization
    assert (source.scales[0], source.zero_points[0]) == (1 / 128, 0)


def test_both_roads_have_the_same_quality(converted, images):
    pytest.importorskip("tflite_micro", reason="no tflite-micro wheel here")
    with torch.inference_mode():
        expected = Net()(torch.from_numpy(images)).numpy()
    own = sqnr(quantize_network(Net(), images).flatbuffer, images, expected)
    other = sqnr(converted, images, expected)
    assert own > other - 0.5


def test_a_newer_opset_is_refused(onnx_file):
    import onnx

    model = onnx.load_model_from_string(onnx_file)
    model.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    with pytest.raises(DeployError, match=rf"x\.onnx: opset .*opset_version={OPSET}"):
        onnx_input(model.SerializeToString(), "x.onnx")


def test_dynamic_sizes_are_refused(onnx_file):
    import onnx

    model = onnx.load_model_from_string(onnx_file)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(DeployError, match=r"'input' has the sizes .*height"):
        onnx_input(model.SerializeToString(), "x.onnx")


def test_damaged_bytes_are_refused(extra):
    with pytest.raises(DeployError, match=r"x\.onnx: not an ONNX file"):
        onnx_input(b"\x08" * 50, "x.onnx")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(extra, value):
    model = Net()
    with torch.no_grad():
        model.project.weight[0, 0] = value
    with pytest.raises(DeployError, match=r"weights 'project\.weight' hold NaN or infinity"):
        onnx_input(torch_to_onnx(model, (3, 16, 16)), "x.onnx")


def test_activations_that_overflow_are_named(extra, images, tmp_path):
    model = Net()
    with torch.no_grad():
        model.project.weight.fill_(3e38)
        model.last.weight.fill_(3e38)
    with pytest.raises(
        DeployError, match=r"operator '/(project|pool|last)/\w+' .* NaN or infinity"
    ):
        convert_onnx(
            torch_to_onnx(model, (3, 16, 16)), images, name="net", log=tmp_path / "net.log"
        )


def test_images_of_another_size_are_refused(onnx_file, images, tmp_path):
    with pytest.raises(DeployError, match=r"\(3, 8, 8\), but net reads \(3, 16, 16\)"):
        convert_onnx(onnx_file, images[:, :, :8, :8], name="net", log=tmp_path / "log")


def test_a_crash_keeps_its_log(onnx_file, images, tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text("print('much'); raise RuntimeError('Error: no such thing')\n")
    monkeypatch.setattr("deploy.quantize.via_onnx.__file__", str(tmp_path / "__init__.py"))
    log = tmp_path / "net.log"
    with pytest.raises(DeployError, match=r"converter failed \(.*no such thing\); its log: "):
        convert_onnx(onnx_file, images, name="net", log=log)
    assert "much" in log.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.log", "worker.py"]


def test_stray_operators_are_named():
    data = (PEERS / "mbv2_tiny_144_pad_int8.tflite").read_bytes()
    with pytest.raises(DeployError, match=r"operator \d+ PAD \(from '.+'\) is not needed"):
        check_operators(parse_graph(data, "padded"))
    data = (PEERS / "mbv2_tiny_144_int8.tflite").read_bytes()
    check_operators(parse_graph(data, "clean"))


def test_without_the_extra_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("deploy.quantize.via_onnx._NEEDED", ("no_such_module",))
    with pytest.raises(DeployError, match=r"no_such_module not installed; pip install .*\[onnx\]"):
        torch_to_onnx(Net(), (3, 16, 16))
