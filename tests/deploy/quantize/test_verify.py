# SPDX-License-Identifier: Apache-2.0
"""`netbooster verify`: known errors are found, and a single differing byte is a failure."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from deploy.build.host_model import HostModel, build_host
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.evidence.verify import plot_svg, verify
from deploy.quantize import quantize_network
from deploy.quantize.adopt import _renamed, adopt
from deploy.tflite import parse_graph


def batches_of(images: np.ndarray, labels: np.ndarray):
    codes = np.rint(images * 128).astype(np.int8).transpose(0, 2, 3, 1)
    return [(images, np.ascontiguousarray(codes), labels)]


@pytest.fixture(scope="module")
def compiled(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    result = quantize_network(trained.model, trained.train[:64])
    plan = compile_model(result.flatbuffer, folder, name="small", schedule="layer")
    return result, HostModel(build_host(folder, folder / "model.so")), plan


@pytest.fixture(scope="module")
def verified(compiled, trained):
    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return trained.model(torch.from_numpy(images)).numpy()

    batches = batches_of(trained.test[:80], trained.labels[:80])
    return verify(*compiled, float_model=run, batches=batches, tensor_images=4)


def test_every_tensor_and_every_road(verified, compiled):
    assert [t.name for t in verified.tensors] == [r.name for r in compiled[0].tensors]
    for tensor in verified.tensors[1:]:
        assert 10 < tensor.sqnr_db < 80 and tensor.cosine > 0.95
        assert tensor.max_error == pytest.approx(tensor.max_codes * tensor.scale)
    assert verified.tensors[0].sqnr_db == 200  # the input is exact
    accuracy = verified.accuracy
    assert accuracy["float_torch"] == accuracy["float_tflite"] > 0.85
    assert abs(accuracy["float_torch"] - accuracy["int8_c"]) < 0.05
    assert verified.images == 80 and verified.tensor_images == 4


def test_generated_c_equals_tflm(verified):
    if verified.reason is not None:
        pytest.skip(verified.reason)
    assert verified.exact is True and verified.differences == ()
    assert all(tensor.host_equal for tensor in verified.tensors)
    assert verified.accuracy["int8_tflm"] == verified.accuracy["int8_c"]


def test_written_as_json_and_plot(verified):
    content = json.loads(json.dumps(verified.to_dict()))
    assert content["watch"] in [tensor["name"] for tensor in content["tensors"]]
    drawing = plot_svg(verified, "small")
    assert drawing == plot_svg(verified, "small") and verified.watch.name in drawing


def test_the_layer_where_the_error_jumps_is_named(compiled, trained):
    """A layer whose range was cut to a fortieth clips; nothing before it is worse."""
    pytest.importorskip("tflite_micro", reason="no tflite-micro wheel here")
    result, host, plan = compiled
    given = {record.name: (record.scale, record.zero_point) for record in result.tensors[1:]}
    scale, zero_point = given["blocks.1.project.0"]
    given["blocks.1.project.0"] = (scale / 40, zero_point)
    bad = quantize_network(trained.model, trained.train[:64], activations=given)
    batches = batches_of(trained.test[:4], trained.labels[:4])
    found = verify(bad, host, plan, float_model=lambda x: np.zeros((4, 10)), batches=batches)
    assert found.watch.name == "blocks.1.project.0" and found.watch.clipped > 0.2
    # The C on the host is that of the sound model: verification must notice.
    assert found.exact is False
    assert any("blocks.1.project.0" in line for line in found.differences)


def test_a_single_byte_is_noticed(compiled, trained):
    pytest.importorskip("tflite_micro", reason="no tflite-micro wheel here")
    result, host, plan = compiled

    class Wrong:
        layer_outputs = staticmethod(host.layer_outputs)

        @staticmethod
        def invoke(codes: np.ndarray) -> np.ndarray:
            answer = host.invoke(codes).copy()
            answer[2, 5] ^= 1
            return answer

    batches = batches_of(trained.test[:4], trained.labels[:4])
    found = verify(result, Wrong(), plan, float_model=lambda x: np.zeros((4, 10)), batches=batches)
    assert found.exact is False
    assert found.differences == ("output: 1 bytes, first at image 2",)


def test_without_the_interpreter_nothing_is_claimed(compiled, trained, monkeypatch):
    monkeypatch.setattr("deploy.evidence.verify.tflm_available", lambda: "not here")
    batches = batches_of(trained.test[:2], trained.labels[:2])
    found = verify(*compiled, float_model=lambda x: np.zeros((2, 10)), batches=batches)
    assert (found.exact, found.reason, found.accuracy["int8_tflm"]) == (None, "not here", None)
    assert len(found.tensors) == len(compiled[0].tensors)


def test_an_empty_validation_set(compiled):
    empty = (np.zeros((0, 1, 16, 16), np.float32), np.zeros((0, 16, 16, 1), np.int8), np.zeros(0))
    with pytest.raises(DeployError, match="validation set is empty"):
        verify(*compiled, float_model=lambda x: x, batches=[empty])


def test_a_file_with_other_names_is_matched_by_its_operators(compiled, trained):
    """The same network from another converter: other names, other ranges, the same order."""
    own, images = compiled[0], trained.train[:64]
    other = quantize_network(
        trained.model, images, calibration_method="percentile", percentile=99.0
    )
    foreign = _renamed(other.flatbuffer, {})
    names = [tensor.name for tensor in parse_graph(foreign, "foreign").tensors]
    assert all(name.startswith("constant") for name in names)
    adopted = adopt(own, foreign, "foreign.tflite")
    assert [(r.name, r.scale, r.zero_point) for r in adopted.tensors] == [
        (r.name, r.scale, r.zero_point) for r in other.tensors
    ]
    mine, theirs = (parse_graph(data, "x") for data in (adopted.flatbuffer, other.flatbuffer))
    for a, b in zip(mine.operators, theirs.operators, strict=True):
        assert mine.output(a).name == theirs.output(b).name


def test_the_file_of_another_network_is_refused(compiled, trained):
    other = nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    flatbuffer = quantize_network(other, trained.train[:8]).flatbuffer
    with pytest.raises(DeployError, match=r"^foreign\.tflite has \d+ operators"):
        adopt(compiled[0], flatbuffer, "foreign.tflite")
