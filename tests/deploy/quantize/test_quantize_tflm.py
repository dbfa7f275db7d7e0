# SPDX-License-Identifier: Apache-2.0
"""A trained network, quantized, runs in the TFLM interpreter and answers as torch does."""

import resource
import time

import numpy as np
import pytest
import torch
from torch import nn

from deploy.quantize import CALIBRATION_METHODS, quantize_network


def flatbuffer_of(network, images, **options):
    return quantize_network(network, images, **options).flatbuffer


def sqnr(reference: np.ndarray, values: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - values) ** 2).sum()))


def test_trained_network_keeps_accuracy_and_signal(trained, tflm):
    flatbuffer = flatbuffer_of(trained.model, trained.train[:256])
    expected, answer = trained.logits(), tflm(flatbuffer, trained.test)
    float_accuracy = (expected.argmax(1) == trained.labels).mean()
    int8_accuracy = (answer.argmax(1) == trained.labels).mean()
    assert float_accuracy > 0.9
    assert abs(float_accuracy - int8_accuracy) <= 0.01
    assert sqnr(expected, answer) >= 20


@pytest.mark.parametrize("method", CALIBRATION_METHODS[1:])
def test_other_calibrations_keep_accuracy(method, trained, tflm):
    result = quantize_network(trained.model, trained.train[:128], calibration_method=method)
    answer = tflm(result.flatbuffer, trained.test[:100])
    expected = trained.logits()[:100]
    assert (answer.argmax(1) == expected.argmax(1)).mean() >= 0.97
    logits = result.tensors[-1]
    assert logits.range == quantize_network(trained.model, trained.train[:128]).tensors[-1].range


def test_more_calibration_images_help(trained, tflm):
    expected = trained.logits()[:100]
    few, many = (
        sqnr(expected, tflm(flatbuffer_of(trained.model, trained.train[:n]), trained.test[:100]))
        for n in (1, 256)
    )
    assert many > few + 2


def test_only_the_operators_of_the_network(trained, unpack):
    model = unpack(flatbuffer_of(trained.model, trained.train[:16]))
    block = ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert model.operators == [
        "CONV_2D", *block, "ADD", *block, *block, "ADD", "CONV_2D", "MEAN", "FULLY_CONNECTED"
    ]  # fmt: skip
    assert list(model.input.shape) == [1, 16, 16, 1]
    assert list(model.output.shape) == [1, 10]
    assert (model.input.quantization.scale[0], model.input.quantization.zeroPoint[0]) == (
        1 / 128,
        0,
    )


def test_format_that_tflm_reads(trained, unpack):
    model = unpack(flatbuffer_of(trained.model, trained.train[:16]))
    assert model.flatbuffer[4:8] == b"TFL3" and model.content.version == 3
    start = np.frombuffer(model.flatbuffer, np.uint8).ctypes.data
    for buffer in model.content.buffers[1:]:
        assert (buffer.offset, buffer.size) == (0, 0)  # nothing lies outside the tables
        assert (buffer.data.ctypes.data - start) % 16 == 0
    for name, tensor in model.tensors.items():
        if name.endswith("/weight"):
            assert (model.constant(name, np.int8) >= -127).all()
            per_channel = 1 if name == "classifier/weight" else tensor.shape.max()
            assert len(tensor.quantization.scale) in (per_channel, tensor.shape[0])
            assert len(tensor.quantization.zeroPoint) == len(tensor.quantization.scale)
            assert not tensor.quantization.zeroPoint.any()


def test_bytes_repeat_and_the_model_is_untouched(trained):
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    trained.model.train()
    first = flatbuffer_of(trained.model, trained.train[:32], metadata={"b": "2", "a": "1"})
    assert trained.model.training
    trained.model.eval()
    second = flatbuffer_of(trained.model, trained.train[:32], metadata={"a": "1", "b": "2"})
    assert first == second
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_metadata_travels(trained, unpack):
    entries = {"netbooster.labels": '["zéro", "one"]', "empty": ""}
    model = unpack(flatbuffer_of(trained.model, trained.train[:16], metadata=entries))
    found = {}
    for entry in model.content.metadata:
        data = model.content.buffers[entry.buffer].data
        found[entry.name.decode()] = "" if data is None else bytes(data).decode()
    assert found == entries


def test_tensors_say_where_they_come_from(trained):
    result = quantize_network(trained.model, trained.train[:16])
    by_name = {record.name: record for record in result.tensors}
    stem = by_name["stem.1"]
    assert stem.layers == ("stem.1", "stem.2", "stem.3") and stem.operator == "CONV_2D"
    assert stem.zero_point == -128 and stem.range.low == 0
    assert by_name["blocks.0.add"].operator == "ADD"
    assert result.warnings == ()


def test_litert_reads_the_same_file(trained, tflm, unpack):
    """TFLite's desktop runtime is pickier; its reference kernels differ in FULLY_CONNECTED only."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    flatbuffer = flatbuffer_of(trained.model, trained.train[:64])
    interpreter = Interpreter(
        model_content=flatbuffer, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    codes = np.rint(trained.test[:20] * 128).astype(np.int8).transpose(0, 2, 3, 1)
    answers = []
    for image in codes:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    step = unpack(flatbuffer).output.quantization.scale[0]
    litert = unpack(flatbuffer).dequantize(np.stack(answers))
    assert np.abs(litert - tflm(flatbuffer, trained.test[:20])).max() <= step * 1.01


def test_networks_of_the_project(tflm, unpack):
    """MobileNetV2-Tiny: the five operators, and nothing to warn of.

    Its logits are only roughly right: random weights are a poor oracle (about 11 dB elsewhere).
    """
    models = pytest.importorskip("netbooster.models")
    torch.manual_seed(0)
    network = models.build_model("mobilenetv2-tiny", num_classes=10, resolution=48)
    images = np.random.default_rng(0).integers(-128, 128, (16, 3, 48, 48)).astype(np.float32) / 128
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    network.train()
    network(torch.from_numpy(images))
    result = quantize_network(network, images)
    assert set(unpack(result.flatbuffer).operators) == {
        "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"
    }  # fmt: skip
    assert result.warnings == ()
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(images[:4])).numpy()
    assert sqnr(expected, tflm(result.flatbuffer, images[:4])) > 3


def test_vanishing_activations_still_load(tflm):
    """A range so small that the code of ReLU6's clip leaves int32."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU6(), nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        network[0].weight.mul_(1e-10)
        network[0].bias.fill_(1e-10)
    images = np.random.default_rng(0).uniform(-1, 0.99, (4, 1, 4, 4)).astype(np.float32)
    answer = tflm(flatbuffer_of(network, images), images)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(answer, expected, atol=0.01)


@pytest.mark.slow
def test_export_of_mcunet_is_quick_and_small():
    """256 calibration images at 176: under 90 s on 2 cores, counted as their CPU time, and 4 GB."""
    models = pytest.importorskip("netbooster.models")
    torch.set_num_threads(2)
    network = models.build_model("mcunet-in3", num_classes=1000, resolution=176)
    codes = np.random.default_rng(0).integers(-128, 128, (256, 3, 176, 176))
    images = codes.astype(np.float32) / 128
    start = time.process_time()
    flatbuffer = flatbuffer_of(network, images)
    seconds = time.process_time() - start
    torch.set_num_threads(1)
    assert seconds < 2 * 90
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4e6  # KiB
    assert len(flatbuffer) < 850_000
