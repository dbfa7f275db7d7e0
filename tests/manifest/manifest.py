# SPDX-License-Identifier: Apache-2.0
"""What a refactoring must leave as it is: generated C, its size and cost, recipes, trained weights.

``python tests/manifest/manifest.py write`` records the tree as it is in ``manifest.json``;
``test_manifest.py`` compares. Trained weights are compared where they were recorded only: floats
round differently on other processors and with other versions of torch.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILE = HERE / "manifest.json"
PEERS = ROOT / "tests" / "data" / "peers"
REFERENCES = ("small_32_int8", "mbv2_tiny_144_int8", "mcunet_in3_176_int8")
MODES: dict[str, dict[str, Any]] = {
    "image": {"schedule": "auto"},
    "rows": {"schedule": "auto", "input_mode": "rows"},
    "layer": {"schedule": "layer"},
    "fused": {"schedule": "fused"},
    "keep-dead": {"schedule": "auto", "keep_dead": True},
    "int16": {"schedule": "auto", "constants_limit": 2_000_000},
}
COUNTED = ("image", "rows", "layer")
GRAPHS = 200
STEPS = 20
CHECKPOINTS = {
    "vanilla": "12709d183913fadaf0fe13a6c06cb0396efb4411c5eba34002a0318ca094c111",
    "boosted": "c571a1ce4e918a51a85643016ca58afe2b9292fa4c4651f2ae9287dd0793c9ee",
}
"""SHA-256 of the demo's ``contracted.pt`` when the manifest was recorded."""

sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / p) for p in ("deploy", "deploy/codegen"))]


def sha(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:24]


def machine() -> str:
    """What floats depend on."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    return f"{name}; torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


def _emitted(data: bytes, name: str, **options: Any) -> str:
    from deploy.codegen import plan_model, write_model

    with tempfile.TemporaryDirectory() as folder:
        write_model(plan_model(data, name=name, **options), Path(folder))
        files = sorted(Path(folder).iterdir())
        return sha("".join(f"{file.name}\n{file.read_text()}" for file in files))


def generated() -> dict[str, str]:
    """SHA-256 of the generated C of the reference models, mode by mode."""
    return {
        f"{name} {mode}": _emitted((PEERS / f"{name}.tflite").read_bytes(), name, **options)
        for name in REFERENCES
        for mode, options in MODES.items()
    }


def graphs() -> dict[str, str]:
    """The same of random graphs, ten in one."""
    import random_models
    from test_random_models import SCHEDULES, rng_of

    found: dict[str, str] = {}
    for first in range(0, GRAPHS, 10):
        shas = []
        for seed in range(first, first + 10):
            options = SCHEDULES[seed % len(SCHEDULES)]
            make = random_models.chain if "input_mode" in options else random_models.graph
            shas.append(_emitted(make(rng_of(make.__name__, seed)), f"g{seed}", **options))
        found[f"graphs {first}.."] = sha("".join(shas))
    return found


def costs() -> dict[str, list[int]]:
    """Instructions, RAM, flash beyond weights, engine: of the firmware in QEMU."""
    import test_bounds

    with tempfile.TemporaryDirectory() as folder:
        return {
            f"{name} {mode}": list(test_bounds.measured(name, mode, Path(folder)))
            for name in REFERENCES
            for mode in COUNTED
        }


def recipes() -> dict[str, str]:
    """SHA-256 of every committed recipe, resolved, by the name of the file that it once had."""
    from netbooster.experiment.recipe import load_recipe

    names = json.loads(FILE.read_text())["recipes"]
    found = {name: load_recipe(_present_name(name)).to_toml() for name in names}
    # The one key that recipes have in addition, at its default, which keeps every number.
    return {name: sha(toml.replace("recompute = false\n", "")) for name, toml in found.items()}


def _present_name(file: str) -> str:
    """How the recipe of a file such as ``table1/mini/mcunet-vanilla`` is named today."""
    folder, _, name = file.rpartition("/")
    if folder == "teachers":
        kind, _, data = name.partition("-")
        table = "table2" if data not in ("", "imagenet") else "table1"
        teacher = "mini-teacher" if kind == "mini" else "teacher"
        return f"{table}/{teacher}" + (f"-{data}" if table == "table2" else "")
    if folder.endswith("/mini"):
        return f"{folder.removesuffix('/mini')}/{name}@mini"
    return file


def weights() -> dict[str, str]:
    """SHA-256 of a network's weights after 20 steps of each method."""
    import torch

    from netbooster.experiment import run
    from netbooster.experiment.recipe import parse_recipe
    from netbooster.experiment.trained import load
    from netbooster.training.checkpoint import state_digest

    def recipe(name: str, method: str, **changes: Any) -> Any:
        content: dict[str, Any] = {
            "name": name,
            "method": method,
            "data": {"name": "glyphs", "characters": "0123", "resolution": 32, "channels": 3},
            "model": {"name": "mobilenetv2-tiny"},
            "train": {"steps": STEPS, "batch_size": 8, "threads": 1, "lr": 0.02},
            "netbooster": {"giant_share": 0.5, "plt_lr": 0.01},
        }
        return parse_recipe(content | changes, name)

    torch.set_num_threads(1)
    teacher = {"distillation": {"teacher": recipe("teacher", "vanilla", route=2).model_dump()}}
    changes: dict[str, dict[str, Any]] = {
        "vanilla": {},
        "netbooster": {},
        "dropblock": {"dropblock": {"from_stride": 8, "block_size": 2}},
        "kd": teacher,
        "tf-kd": {},
        "rco-kd": teacher,
        "rocket-launch": teacher,
        "netaug": {"netaug": {"bn_images": 16}},
        "netbooster-kd": teacher,
    }
    run.evaluate_splits = lambda *_, **__: {"test": 0.5}  # type: ignore[assignment]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for method, extra in changes.items():
            path = run.train(recipe(f"run-{method}", method, **extra), Path(folder) / method)
            found[method] = state_digest(load(path).network.state_dict())[:24]
    return found


def demo() -> dict[str, str]:
    """The demo's flatbuffers, after 60 steps instead of 1,000."""
    from netbooster.experiment.recipe import RECIPE_FOLDER

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.toml"
        base = RECIPE_FOLDER / "digits.toml"
        path.write_text(f'extends = "{base}"\n[train]\nsteps = 60\nthreads = 1\n')
        for name, method in (("vanilla", "vanilla"), ("boosted", "netbooster")):
            run = Path(folder) / method
            for words in (["train", path, "-o", run, "--method", method], ["quantize", run]):
                subprocess.run(
                    [sys.executable, "-m", "deploy.cli", *map(str, words)],
                    check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                )  # fmt: skip
            checkpoint = hashlib.sha256((run / "contracted.pt").read_bytes()).hexdigest()
            data = (run / "model.tflite").read_bytes()
            assert checkpoint.encode() in data
            found[name] = sha(data.replace(checkpoint.encode(), CHECKPOINTS[name].encode()))
    return found


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "generated": generated,
    "graphs": graphs,
    "costs": costs,
    "recipes": recipes,
    "weights": weights,
    "demo": demo,
}
FLOATS = ("weights", "demo")


def main() -> None:
    """Write all sections, or those that are named."""
    names = sys.argv[2:] or list(SECTIONS)
    content = json.loads(FILE.read_text()) if FILE.is_file() else {}
    for name in names:
        content[name] = SECTIONS[name]()
        print(f"{name}: {len(content[name])} entries", flush=True)
        if name in FLOATS:
            content["machine"] = machine()
    FILE.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["write"]:
        sys.exit(f"usage: manifest.py write [{'|'.join(SECTIONS)}]")
    main()
