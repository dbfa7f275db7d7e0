# SPDX-License-Identifier: Apache-2.0
"""Float against int8 in every tensor of a run; the interpreter against C in every byte."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.run.folder import Run, need, runs_in
from deploy.run.ladder import Settings, attempt, float_model, validation
from deploy.run.telling import Say, teller
from netbooster.common.files import write_atomic

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.evidence.verify import Verification


def verify(
    folder: str | Path,
    *,
    limit: int | None = None,
    tensor_images: int = 16,
    console: "Console | None" = None,
) -> "dict[str, Verification]":
    """Compare float and int8 in every tensor, and the accuracy of torch, TFLite, TFLM and C.

    Writes ``verify.json`` and ``verify.svg`` into each run's folder.

    Args:
        folder: a run or a comparison.
        limit: validation images; None: all of them.
        tensor_images: images that are compared tensor by tensor.
        console: where progress is shown; None is silent.

    Returns:
        What was found, by the runs' names; where :attr:`Verification.exact` is False, generated C
        and the interpreter disagree.

    Raises:
        DeployError: a run was not quantized, or its flatbuffer is not what its network gives.
    """
    from deploy.evidence.verify import plot_svg

    say = teller(console)
    results = {}
    for run in runs_in(Path(folder)):
        found = _verify(run, limit, tensor_images, say)
        write_atomic(run.folder / "verify.json", json.dumps(found.to_dict(), indent=1) + "\n")
        write_atomic(run.folder / "verify.svg", plot_svg(found, f"{run.name}: int8 to float"))
        results[run.name] = found
    return results


def _verify(run: Run, limit: int | None, tensor_images: int, say: Say) -> "Verification":
    from deploy.build.host_model import HostModel, build_host
    from deploy.codegen import compile_model
    from deploy.evidence.verify import verify

    for path in (run.tflite, run.model_json):
        need(path, f"quantize {run.folder}")
    settings = _settings_of(run)
    made = attempt(run, settings, say=say)
    quantized = made.result
    assert quantized is not None  # our own writer
    stale = f"{run.tflite} is not what its network and settings give ({settings.label})"
    remedy = f"run netbooster quantize {run.folder} again"
    data = run.tflite.read_bytes()
    if json.loads(run.model_json.read_text())["quantization"].get("via", "writer") != "writer":
        from deploy.quantize import adopt

        # Another converter's bytes are its own affair; its metadata names the network's hash.
        if made.hashes["checkpoint"].encode() not in data:
            raise DeployError(f"{stale}: {remedy}")
        quantized = adopt(quantized, data, str(run.tflite))
    elif quantized.flatbuffer != data:
        raise DeployError(f"{stale}: {remedy}")
    with tempfile.TemporaryDirectory(prefix="nb_verify_") as folder:
        plan = compile_model(
            quantized.flatbuffer, Path(folder), name=run.name, schedule="layer", keep_dead=True
        )
        host = HostModel(build_host(Path(folder), Path(folder) / "model.so"))
    return verify(
        quantized,
        host,
        plan,
        float_model=float_model(made.network),
        batches=list(validation(run, limit)),
        tensor_images=tensor_images,
    )


def _settings_of(run: Run) -> Settings:
    """How a run's flatbuffer was made; by our own writer where it was not."""
    try:
        card = json.loads(run.model_json.read_text())["quantization"]
        return Settings(
            card["method"],
            card["calibration"],
            card["calibration_samples"],
            allow_moves=card.get("allow_moves", False),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(
            f"{run.model_json}: not written by this version; run `netbooster quantize` again"
        ) from error
