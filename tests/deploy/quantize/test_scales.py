# SPDX-License-Identifier: Apache-2.0
"""Beyond min-max: entropy, equalization, bias correction, scales from training, float TFLite."""

import numpy as np
import pytest
import torch
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize import quantize_network
from deploy.quantize.calibrate import channel_maxima
from deploy.quantize.equalize import equalize
from deploy.quantize.trace import run_float, trace


def sqnr(reference: np.ndarray, values: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - values) ** 2).sum()))


class Uneven(nn.Module):
    """A linear bottleneck with a shortcut whose channels differ by a factor of 200."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4)
        spread = torch.logspace(0, 2.3, 8)
        with torch.no_grad():
            for layer in (self.first, self.second):
                layer.weight.mul_(spread[:, None, None, None])
                layer.bias.mul_(spread)
            self.second.weight.div_(spread[None, :, None, None])
            self.last.weight.div_(spread)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x + self.second(x)
        return self.last(torch.flatten(self.pool(x), 1))


@pytest.fixture(scope="module")
def uneven():
    images = np.random.default_rng(1).integers(-128, 128, (48, 2, 8, 8)).astype(np.float32) / 128
    network = Uneven().eval()
    with torch.inference_mode():
        return network, images, network(torch.from_numpy(images)).numpy()


def test_equalization_changes_no_output(trained):
    images = trained.train[:32]
    graph = trace(trained.model, images.shape[1:])
    maxima = channel_maxima(graph, images)
    before = run_float(graph, torch.from_numpy(images))
    names = equalize(graph, maxima)
    after = run_float(graph, torch.from_numpy(images))
    assert "blocks.1.project.0" in names and "blocks.2.add" in names
    assert "blocks.0.expand.0" not in names  # a ReLU6 clips at a fixed value
    output = graph.outputs[0]
    scale = before[output].abs().max()
    assert (before[output] - after[output]).abs().max() < 1e-5 * scale
    balance = [
        np.median(values) / values.max()
        for values in (
            next(own for tensor, own in found.items() if tensor.name == "blocks.2.add")
            for found in (maxima, channel_maxima(graph, images))
        )
    ]
    assert balance[1] > balance[0]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_equalization_of_grouped_readers_and_relu(groups):
    torch.manual_seed(groups)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 1, groups=groups),
        nn.Flatten(), nn.Linear(72, 3),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight[0] *= 50
    images = np.random.default_rng(0).uniform(-1, 0.99, (8, 2, 8, 8)).astype(np.float32)
    graph = trace(network, (2, 8, 8))
    before = run_float(graph, torch.from_numpy(images))[graph.outputs[0]]
    assert equalize(graph, channel_maxima(graph, images)) == ["0", "2", "3"]
    after = run_float(graph, torch.from_numpy(images))[graph.outputs[0]]
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


def test_equalization_saves_uneven_channels(uneven, tflm):
    network, images, expected = uneven
    plain, even = (
        sqnr(expected, tflm(quantize_network(network, images, equalization=on).flatbuffer, images))
        for on in (False, True)
    )
    assert even > plain + 6


def test_bias_correction_takes_the_mean_error_out(trained, tflm):
    images = trained.train[:64]
    expected = trained.model(torch.from_numpy(images)).detach().numpy()
    errors = []
    for on in (False, True):
        result = quantize_network(trained.model, images, bias_correction=on)
        answer = tflm(result.flatbuffer, images)
        errors.append(np.abs((answer - expected).mean(axis=0)).mean())
    assert errors[1] < errors[0]


def test_the_float_network_keeps_its_biases(trained):
    images = trained.train[:16]
    result = quantize_network(trained.model, images, bias_correction=True)
    logits = run_float(result.graph, torch.from_numpy(images))[result.graph.outputs[0]].numpy()
    with torch.inference_mode():
        expected = trained.model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_methods_repeat_to_the_byte(trained):
    options = {"calibration_method": "entropy", "equalization": True, "bias_correction": True}
    first, second = (
        quantize_network(trained.model, trained.train[:24], **options) for _ in range(2)
    )
    assert first.flatbuffer == second.flatbuffer


def test_entropy_clips_outliers():
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 1, 1))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    images = np.random.default_rng(0).uniform(0, 0.3, (8, 1, 16, 16)).astype(np.float32)
    images[0, 0, 0, 0] = 0.99
    result = quantize_network(network, images, calibration_method="entropy")
    assert 0.28 < result.tensors[1].range.high < 0.6


def test_scales_from_training_are_taken_as_they_are(trained):
    images = trained.train[:8]
    ranges = quantize_network(trained.model, images).tensors
    given = {record.name: (record.scale * 1.25, record.zero_point) for record in ranges[1:]}
    for record in quantize_network(trained.model, images, activations=given).tensors[1:]:
        assert record.scale == np.float32(given[record.name][0])
        assert record.zero_point == given[record.name][1]
    del given["blocks.0.add"]
    with pytest.raises(DeployError, match=r"'blocks\.0\.add' has no given scale"):
        quantize_network(trained.model, images, activations=given)
    given["blocks.0.add"] = (float("nan"), 0)
    with pytest.raises(DeployError, match=r"'blocks\.0\.add': given scale nan"):
        quantize_network(trained.model, images, activations=given)


def test_float_flatbuffer_computes_what_torch_does(trained):
    from ai_edge_litert.interpreter import Interpreter

    result = quantize_network(trained.model, trained.train[:8])
    interpreter = Interpreter(model_content=result.float_flatbuffer(), num_threads=1)
    interpreter.allocate_tensors()
    image = trained.test[:1].transpose(0, 2, 3, 1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ascontiguousarray(image))
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(answer, trained.logits()[:1], rtol=1e-3, atol=1e-3)
