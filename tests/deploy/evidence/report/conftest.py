# SPDX-License-Identifier: Apache-2.0
"""A synthetic but complete run folder, with figures as a real one has them."""

import hashlib
import json
import math
from html.parser import HTMLParser
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from deploy.evidence.report import ReportResult, write_report

TARGET = "mps2-an386"
BLOCKS = 8
IMAGES = 12
RECIPE = 'name = "demo"\nseed = 0\n\n[data]\nname = "digits"\nresolution = 32\n'


def build_tflite(weight_scale: float, description: str = "") -> bytes:
    """A flatbuffer of one pointwise convolution, as far as the report reads it."""

    def tensor(name: str, shape: list[int], buffer: int, scale: list[float]) -> schema.TensorT:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, shape, buffer
        made.type = schema.TensorType.INT8
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = scale, [0] * len(scale)
        return made

    def buffer(data: bytes) -> schema.BufferT:
        made = schema.BufferT()
        made.data = np.frombuffer(data, np.uint8) if data else None
        return made

    model, graph, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    code, metadata = schema.OperatorCodeT(), schema.MetadataT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    graph.tensors = [
        tensor("input", [1, 32, 32, 3], 0, [1 / 128]),
        tensor("weights", [4, 1, 1, 3], 1, [weight_scale, 0.3, 0.4, 0.5]),
        tensor("output", [1, 32, 32, 4], 0, [0.05]),
    ]
    operator.inputs, operator.outputs, operator.opcodeIndex = [0, 1], [2], 0
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [2]
    metadata.name, metadata.buffer = "netbooster.labels", 2
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.description, model.metadata = description, [metadata]
    model.buffers = [buffer(b""), buffer(bytes(range(12))), buffer(b'["0","1"]')]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def layer_list() -> list[dict]:
    """Layers of a small MobileNetV2: name, op, kernel, MACs, output shape."""
    layers = [("stem", "CONV_2D", "nb_conv3x3_s8", 16 * 16 * 27 * 16, [1, 16, 16, 16])]
    for block in range(BLOCKS):
        size, width = max(16 >> (block // 3), 4), 8 + 4 * block
        area, wide = size * size, 6 * (8 + 4 * block)
        for part, op, kernel, macs, channels in (
            ("expand", "CONV_2D", "nb_conv1x1_s8", area * width * wide, wide),
            ("depthwise", "DEPTHWISE_CONV_2D", "nb_depthwise3x3_s8", area * wide * 9, wide),
            ("project", "CONV_2D", "nb_conv1x1_s8", area * width * wide, width),
        ):
            layers.append((f"block{block}.{part}", op, kernel, macs, [1, size, size, channels]))
        if block % 2:
            layers.append((f"block{block}.add", "ADD", "nb_add_s8", 0, [1, size, size, width]))
    layers.append(("pool", "MEAN", "nb_mean_s8", 0, [1, 40]))
    layers.append(("classifier", "FULLY_CONNECTED", "nb_fully_connected_s8", 400, [1, 10]))
    keys = ("name", "op", "kernel", "macs", "output_shape")
    return [dict(zip(keys, layer, strict=True)) for layer in layers]


def measured_layers(factor: float) -> list[dict]:
    cost = {"CONV_2D": 1.9, "DEPTHWISE_CONV_2D": 3.4, "FULLY_CONNECTED": 2.6}
    found = []
    for index, layer in enumerate(layer_list()):
        elements = math.prod(layer["output_shape"])
        count = cost.get(layer["op"], 0) * layer["macs"] + 9.0 * elements
        count = int(count * (factor if index % 3 else 1.0)) + 40
        kept = {key: layer[key] for key in ("name", "op", "kernel", "macs")}
        found.append(kept | {"instructions": count, "cycles_estimated": int(1.31 * count)})
    return found


def metrics(name: str) -> list[dict]:
    lines = []
    for step in range(20, 2001, 20):
        phase = "vanilla" if name == "vanilla" else "giant" if step <= 1000 else "plt"
        local = step if step <= 1000 or name == "vanilla" else step - 600
        wiggle = 0.05 * math.sin(step / 13)
        line = {
            "phase": phase,
            "step": step,
            "loss": 0.5 + 1.8 * math.exp(-local / 350) + wiggle,
            "accuracy": 0.93 - 0.8 * math.exp(-local / 350) + wiggle / 3,
            "lr": 0.1 * (1 + math.cos(math.pi * (step % 1001) / 1001)) / 2,
            "alpha": min(1.0, (step - 1000) / 270) if phase == "plt" else 0.0,
            "seconds": round(step * 0.06, 3),
        }
        if step % 200 == 0:
            line["val_accuracy"] = 0.95 - 0.8 * math.exp(-local / 350)
        lines.append(line)
    return lines


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_model(run: Path, name: str) -> None:
    boosted = name == "netbooster"
    folder = run / name
    folder.mkdir(parents=True)
    tflite = build_tflite(0.9 if boosted else 0.2)
    (folder / "model.tflite").write_bytes(tflite)
    digest = hashlib.sha256(tflite).hexdigest()
    layers = layer_list()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in metrics(name)))
    shapes = [[layer["name"], layer["output_shape"][1:]] for layer in layers]
    test = 0.894 if boosted else 0.865
    write_json(
        folder / "summary.json",
        {
            "network": "mobilenetv2-tiny",
            "parameters": 750_280,
            "bn_parameters": 12_096,
            "macs": 23_499_152,
            "tensor_shapes": shapes,
            "state_shapes": [["stem.weight", [16, 3, 3, 3]], ["stem.bn.num", []]],
            "accuracy": {"train": test + 0.02, "val": test - 0.01, "test": test},
            "giant_accuracy": {"train": 0.8, "val": 0.77, "test": 0.764} if boosted else None,
            "contraction_error": 9e-6 if boosted else None,
            "steps": {"total": 2000} | ({"giant": 1000, "plt": 1000} if boosted else {}),
        },
    )
    write_json(
        folder / "model.json",
        {
            "format": 1,
            "name": name,
            "network": "mobilenetv2-tiny",
            "labels": [str(number) for number in range(10)],
            "preprocess": {"resolution": 32},
            "accuracy": {"float_test": test, "int8_test": test - 0.003, "test_images": 500},
            "quantization": {"method": "post-training", "calibration_samples": 512},
            "hashes": {"recipe": "ab" * 32, "tflite": digest},
        },
    )
    write_json(
        folder / "generated" / "plan.json",
        {
            "name": name,
            "tflite_sha256": digest,
            "arena_bytes": 30_720,
            "arena_peak_layer": 4,
            "layers": layers,
        },
    )
    counted = measured_layers(1.0004 if boosted else 1.0)
    total = sum(layer["instructions"] for layer in counted) + 1_204
    cycles = int(1.31 * total)
    code = 11_480 + (64 if boosted else 0)
    answers = [
        {"index": i, "label": i % 10, "prediction": 3 if i == 8 else i % 10, "output": [0]}
        for i in range(IMAGES)
    ]
    write_json(
        folder / f"measurement-{TARGET}.json",
        {
            "format": 1,
            "model": name,
            "target": TARGET,
            "engine": "nb",
            "toolchain": {
                "compiler": "arm-none-eabi-gcc 12.2.1",
                "flags": "-O3 -mcpu=cortex-m4 -mthumb",
                "emulator": "QEMU 7.2.22",
            },
            "counting": "qemu-tcg-plugin",
            "instructions": total,
            "instructions_range": [total - 210, total + 180],
            "cycles_estimated": cycles,
            "clock_hz": 25_000_000,
            "latency_estimated_ms": cycles / 25_000,
            "layers": counted,
            "ram": {"arena": 30_720, "static": 33_816, "stack": 824, "total": 34_640},
            "flash": {"code": code, "tables": 9_072, "weights": 743_000, "total": code + 752_300},
            "tflite_bytes": len(tflite),
            "images": answers,
            "exact": {"host": True, "tflm": True, "reason": None},
            "hashes": {"tflite": digest, "elf": "cd" * 32, "generated": "ef" * 32},
        },
    )


def sample_images() -> list[tuple[np.ndarray, int]]:
    rows, columns = np.mgrid[:32, :32]
    return [
        (((rows * (index + 3) ^ columns * 5) % 256).astype(np.uint8)[None], index % 10)
        for index in range(IMAGES)
    ]


def visible_text(page: str) -> str:
    """What a reader sees, white space collapsed; style and title left out."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.parts: list[str] = []
            self.hidden = 0

        def handle_starttag(self, tag: str, attrs: list) -> None:
            self.hidden += tag in ("style", "title", "script")

        def handle_endtag(self, tag: str) -> None:
            self.hidden -= tag in ("style", "title", "script")
            self.parts.append(" " if tag in ("td", "th", "dt", "span") else "")

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                self.parts.append(data)

    reader = Reader()
    reader.feed(page)
    return " ".join("".join(reader.parts).split())


class SyntheticRun:
    """A run folder under test."""

    target = TARGET
    models = ("vanilla", "netbooster")
    images = IMAGES
    measurement = f"measurement-{TARGET}.json"
    layer_count = len(layer_list())

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        (path / "recipe.toml").write_text(RECIPE)
        for name in ("vanilla", "netbooster"):
            write_model(path, name)

    def change(self, file: str, *keys: str | int, value: object) -> None:
        """Set one entry of a JSON file."""
        path = self.path / file
        content = entry = json.loads(path.read_text())
        for key in keys[:-1]:
            entry = entry[key]
        entry[keys[-1]] = value
        write_json(path, content)

    def value(self, file: str, *keys: str | int) -> object:
        """One entry of a JSON file."""
        content = json.loads((self.path / file).read_text())
        for key in keys:
            content = content[key]
        return content

    def change_flatbuffer(self, model: str, *, weight_scale: float, description: str) -> None:
        """Another flatbuffer, all hashes in accord."""
        data = build_tflite(weight_scale, description)
        (self.path / model / "model.tflite").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        self.change(f"{model}/model.json", "hashes", "tflite", value=digest)
        self.change(f"{model}/generated/plan.json", "tflite_sha256", value=digest)
        self.change(f"{model}/{self.measurement}", "hashes", "tflite", value=digest)

    def report(self) -> tuple[ReportResult, str]:
        """Write the report: its result and the page."""
        result = write_report(self.path, TARGET, self.models, sample_images=sample_images())
        return result, result.path.read_text()

    def text(self) -> str:
        """Write the report: what a reader sees of it."""
        return visible_text(self.report()[1])

    visible = staticmethod(visible_text)
    samples = staticmethod(sample_images)


@pytest.fixture
def run(tmp_path: Path) -> SyntheticRun:
    return SyntheticRun(tmp_path / "run")
