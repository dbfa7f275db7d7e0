# SPDX-License-Identifier: Apache-2.0
"""`netbooster quantize FILE.py:NAME`: a user's own nn.Module becomes an int8 .tflite."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deploy.build.host_model import HostModel, build_host
from deploy.cli import main
from deploy.codegen import compile_model
from deploy.tflite import read_graph

NETWORK = """
import torch
from torch import nn
from blocks import Block

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.features = nn.Sequential(Block(width), nn.ReLU6())
        self.last = nn.Linear(width, 4)

    def forward(self, x):
        x = self.features(torch.relu(self.stem(x)))
        return self.last(x.mean((2, 3)))

def make():
    torch.manual_seed(0)
    return Net()

ready = make()
number = 3

class Broken(nn.Module):
    def __init__(self):
        raise RuntimeError("no\\nluck")

class Costly(Net):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=2)

class Odd(Net):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Sequential(nn.GELU()))

class Sick(Net):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.stem.weight[0, 0, 0, 0] = float("nan")
"""
BLOCK = """
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x):
        return x + self.norm(self.conv(x))
"""


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "blocks.py").write_text(BLOCK)
    codes = np.random.default_rng(0).integers(-128, 128, (24, 3, 16, 16))
    np.save(tmp_path / "c.npy", codes.astype(np.float32) / 128)
    return tmp_path


def test_a_module_becomes_a_model_that_compiles(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    images = np.load(folder / "c.npy")
    sizes = []
    for name in ("make", "ready", "Net"):
        target = folder / f"{name}.tflite"
        code, out, err = run(
            capfd, "quantize", f"{folder}/net.py:{name}", "-i", str(folder / "c.npy"),
            "-o", str(target),
        )  # fmt: skip
        assert code == 0, err
        assert f"next: netbooster compile {target}" in out.replace("\n", " ")
        graph = read_graph(target.read_bytes(), name)
        assert [op.kind for op in graph.operators] == [
            "CONV_2D", "CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"
        ]  # fmt: skip
        sizes.append(target.stat().st_size)
    assert len(set(sizes)) == 1
    # It computes what the module computes.
    import importlib.util
    import sys

    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("own_net", folder / "net.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    compile_model((folder / "make.tflite").read_bytes(), folder / "generated", name="own")
    host = HostModel(build_host(folder / "generated", folder / "model.so"))
    codes = np.rint(images * 128).astype(np.int8).transpose(0, 2, 3, 1)
    answer = host.invoke(np.ascontiguousarray(codes)).reshape(len(codes), -1).astype(float)
    with torch.inference_mode():
        expected = module.make().eval()(torch.from_numpy(images)).numpy()
    output = read_graph((folder / "make.tflite").read_bytes(), "make")
    own = output.tensors[output.outputs[0]].quantization
    assert own is not None
    error = (answer - own.zero_points[0]) * own.scales[0] - expected
    assert 10 * np.log10((expected**2).sum() / (error**2).sum()) > 25


def test_weights_are_loaded(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    from deploy.quantize.user_module import load_user_module

    torch.manual_seed(7)
    wanted = load_user_module(folder / "net.py", "Net")
    torch.save(wanted.state_dict(), folder / "w.pt")
    torch.save({"state_dict": wanted.state_dict(), "epoch": 3}, folder / "nested.pt")
    for name in ("w.pt", "nested.pt"):
        found = load_user_module(folder / "net.py", "make", folder / name)
        assert torch.equal(found.stem.weight, wanted.stem.weight)  # type: ignore[union-attr]
        assert not found.training


@pytest.mark.parametrize(
    ("name", "extra", "message"),
    [
        ("Nothing", [], "has no 'Nothing'"),
        ("number", [], "number cannot be made ('int' object is not callable)"),
        ("Broken", [], "Broken cannot be made (no luck)"),
        ("Costly", [], "layer 'stem' would add the operator PAD"),
        ("Odd", [], "layer 'features.0.0' (nn.GELU) cannot be quantized"),
        ("Sick", [], "layer 'stem' (nn.Conv2d) cannot be quantized: its weight holds NaN"),
        ("Net", ["-w", "c.npy"], "not the weights of this network"),
        ("Net", ["-w", "missing.pt"], "not the weights of this network"),
        ("Net", ["--ranges", "magic"], "unknown calibration method 'magic'"),
        ("Net", ["--via", "magic"], "unknown road 'magic'"),
        ("Net", ["--input-scale", "0"], "no int8 quantization"),
    ],
)
def test_refusals(
    capfd: pytest.CaptureFixture[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    extra: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir() if path.is_file())
    code, _, err = run(capfd, "quantize", f"net.py:{name}", "-i", "c.npy", *extra)
    lines = [line for line in err.splitlines() if line.strip()]
    assert (code, len(lines)) == (2, 1), err
    assert message in lines[0]
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == before


def test_moves_can_be_allowed(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, err = run(
        capfd, "quantize", f"{folder}/net.py:Costly", "-i", str(folder / "c.npy"), "--allow-moves"
    )
    assert code == 0, err
    assert "warning: layer 'stem' needs a PAD operator" in out
    graph = read_graph((folder / "net.tflite").read_bytes(), "net")
    assert graph.operators[0].kind == "PAD"


def test_onnx_files_go_by_tensorflow_only(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "m.onnx").write_bytes(b"x")
    for extra, message in (
        (["--via", "writer"], "reads torch modules"),
        (["-w", "w.pt"], "they go with FILE.py:NAME"),
    ):
        code, _, err = run(
            capfd, "quantize", str(folder / "m.onnx"), "-i", str(folder / "c.npy"), *extra
        )
        assert code == 2 and message in err


def test_a_folder_of_pictures_sets_the_ranges_as_their_array_does(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    codes = np.rint(np.load(folder / "c.npy") * 128).astype(int)
    pictures = folder / "pictures" / "any"
    pictures.mkdir(parents=True)
    for index, picture in enumerate((codes + 128).astype(np.uint8).transpose(0, 2, 3, 1)):
        Image.fromarray(picture).save(pictures / f"{index:02}.png")
    made = []
    for name in ("c.npy", "pictures"):
        target = folder / f"by-{name}.tflite"
        code, _, err = run(
            capfd, "quantize", f"{folder}/net.py:make", "-i", str(folder / name), "-o", str(target)
        )
        assert code == 0, err
        made.append(target.read_bytes())
    assert made[0] == made[1]
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(pictures / "99.png")
    code, _, err = run(capfd, "quantize", f"{folder}/net.py:make", "-i", str(folder / "pictures"))
    assert code == 2 and "99.png: is 16x8x3, pictures before it are 16x16x3" in err
    empty = folder / "empty"
    empty.mkdir()
    code, _, err = run(capfd, "quantize", f"{folder}/net.py:make", "-i", str(empty))
    assert code == 2 and "holds no pictures" in err
    code, _, err = run(capfd, "quantize", f"{folder}/net.py:make")
    assert code == 2 and "--images is missing" in err
