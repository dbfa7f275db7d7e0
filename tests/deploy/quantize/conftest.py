# SPDX-License-Identifier: Apache-2.0
"""For the tests of quantization: the TFLM interpreter, a reader of operators, a trained network."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}


class Model:
    """A flatbuffer, unpacked."""

    def __init__(self, flatbuffer: bytes) -> None:
        self.flatbuffer = flatbuffer
        self.content = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
        self.graph = self.content.subgraphs[0]
        self.tensors = {tensor.name.decode(): tensor for tensor in self.graph.tensors}
        self.input = self.graph.tensors[self.graph.inputs[0]]
        self.output = self.graph.tensors[self.graph.outputs[0]]

    @property
    def operators(self) -> list[str]:
        return [
            _NAMES[self.content.operatorCodes[op.opcodeIndex].builtinCode]
            for op in self.graph.operators
        ]

    def constant(self, name: str, dtype: type) -> np.ndarray:
        tensor = self.tensors[name]
        return self.content.buffers[tensor.buffer].data.view(dtype).reshape(tensor.shape)

    def dequantize(self, codes: np.ndarray) -> np.ndarray:
        own = self.output.quantization
        return (codes.astype(np.float64) - own.zeroPoint[0]) * own.scale[0]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are too small to gain from threads, and tests run beside each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def unpack() -> Callable[[bytes], Model]:
    return Model


@pytest.fixture(scope="session")
def tflm() -> Callable[[bytes, np.ndarray], np.ndarray]:
    """(flatbuffer, float images [N, C, H, W] on the input's grid) → float outputs [N, ...]."""
    runtime = pytest.importorskip("tflite_micro", reason="no tflite-micro wheel here").runtime

    def run(flatbuffer: bytes, images: np.ndarray) -> np.ndarray:
        model = Model(flatbuffer)
        own = model.input.quantization
        codes = np.rint(images / own.scale[0] + own.zeroPoint[0]).clip(-128, 127).astype(np.int8)
        interpreter = runtime.Interpreter.from_bytes(flatbuffer, arena_size=4_000_000)
        outputs = []
        for image in codes.transpose(0, 2, 3, 1):
            interpreter.set_input(np.ascontiguousarray(image[None]), 0)
            interpreter.invoke()
            outputs.append(model.dequantize(interpreter.get_output(0))[0])
        return np.stack(outputs)

    return run


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6; strides pad as TFLite's SAME on even sizes."""
    layers: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    padding = kernel // 2 if stride == 1 else 0
    return nn.Sequential(
        *layers,
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class Block(nn.Module):
    """Inverted residual."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = _conv(inputs, inputs * 4, 1, 1)
        self.depthwise = _conv(inputs * 4, inputs * 4, 3, stride, groups=inputs * 4)
        self.project = nn.Sequential(
            nn.Conv2d(inputs * 4, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class SmallNet(nn.Module):
    """MobileNetV2 in small: for 16x16 grey images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(1, 16, 3, 2)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 24, 2), Block(24, 24, 1))
        self.head = _conv(24, 64, 1, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(self.dropout(torch.flatten(self.pool(x), 1)))


class Trained:
    """The network, training and test images [N, 1, 16, 16] on the grid of 1/128, test labels."""

    def __init__(self, model: nn.Module, train: np.ndarray, test: np.ndarray, labels: np.ndarray):
        self.model, self.train, self.test, self.labels = model, train, test, labels

    def logits(self) -> np.ndarray:
        with torch.inference_mode():
            return self.model(torch.from_numpy(self.test)).numpy()


@pytest.fixture(scope="session")
def trained() -> Trained:
    """SmallNet after some seconds on scikit-learn's handwritten digits."""
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).repeat(2, axis=1).repeat(2, axis=2)
    images = ((pixels - 128) / 128).astype(np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], digits.target[order]
    torch.manual_seed(0)
    model = SmallNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    inputs, targets = torch.from_numpy(images[:1297]), torch.from_numpy(labels[:1297])
    steps = 160
    for step in range(steps):
        batch = torch.randint(0, len(inputs), (64,))
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        loss = F.cross_entropy(model(inputs[batch]), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Trained(model.eval(), images[:1297], images[1297:], labels[1297:])
