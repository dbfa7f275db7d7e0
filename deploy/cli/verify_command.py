"""`netbooster verify`: float against int8 in every tensor; TFLM against C in every byte."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import console, new_table, say
from deploy.core.errors import DeployError
from deploy.core.files import write_atomic
from deploy.run.context import ModelOption, ModelPaths, RunContext, RunFolder
from deploy.run.quantizing import Settings, float_model, quantize, validation

if TYPE_CHECKING:
    from deploy.evidence.verify import Verification

NO_ARGS_IS_HELP = True
_ROADS = {
    "float_torch": "float, torch",
    "float_tflite": "float, TFLite",
    "int8_tflm": "int8, TFLM",
    "int8_c": "int8, generated C",
}


def _verify(
    context: RunContext, paths: ModelPaths, limit: int | None, tensor_images: int
) -> "Verification":
    from deploy.build.host_model import HostModel, build_host
    from deploy.codegen import compile_model
    from deploy.evidence.verify import verify

    context.need(paths.tflite, "export")
    try:
        card = json.loads(context.need(paths.model_json, "export").read_text())["quantization"]
        settings = Settings(
            card["method"],
            card["calibration"],
            card["calibration_samples"],
            allow_moves=card.get("allow_moves", False),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(
            f"{paths.model_json}: not written by this version; run `netbooster export` again"
        ) from error
    result = quantize(context, paths, settings)
    quantized = result.result
    assert quantized is not None  # our own writer
    stale = f"{paths.tflite} is not what its network and settings give ({settings.label})"
    remedy = f"run netbooster export {context.folder} again"
    data = paths.tflite.read_bytes()
    if card.get("via", "writer") != "writer":
        from deploy.quantize.adopt import adopt

        # Another converter's bytes are its own affair; its metadata names the network's hash.
        if result.hashes["checkpoint"].encode() not in data:
            raise DeployError(f"{stale}: {remedy}")
        quantized = adopt(quantized, data, str(paths.tflite))
    elif quantized.flatbuffer != data:
        raise DeployError(f"{stale}: {remedy}")
    with tempfile.TemporaryDirectory(prefix="nb_verify_") as folder:
        plan = compile_model(
            quantized.flatbuffer, Path(folder), name=paths.name, schedule="layer", keep_dead=True
        )
        host = HostModel(build_host(Path(folder), Path(folder) / "model.so"))
    return verify(
        quantized,
        host,
        plan,
        float_model=float_model(result.network),
        batches=list(validation(context, limit)),
        tensor_images=tensor_images,
    )


def _print(name: str, found: "Verification") -> None:
    table = new_table(
        f"{name}: float against int8, {found.tensor_images} validation images",
        *("tensor", "operator", ">SQNR dB", ">cosine", ">max error", ">in codes", ">added noise"),
        wrap="C = TFLM",
    )
    for tensor in found.tensors:
        mark = " <-" if tensor is found.watch else ""
        table.add_row(
            tensor.name + mark,
            tensor.operator or "input",
            f"{tensor.sqnr_db:.1f}",
            f"{tensor.cosine:.5f}",
            f"{tensor.max_error:.4g}",
            f"{tensor.max_codes:.1f}",
            f"{tensor.added_noise:.2e}",
            {True: "yes", False: "NO", None: "-"}[tensor.host_equal],
        )
    console.print(table)
    watch = found.watch
    say(
        "verify",
        f"{name}: keep an eye on {watch.name}: the error jumps there to {watch.sqnr_db:.1f} dB "
        f"(half of its channels stay below {watch.channel_balance:.0%} of the largest, "
        f"{watch.clipped:.2%} of its values are clipped)",
    )
    for road, accuracy in found.accuracy.items():
        text = f"not run: {found.reason}" if accuracy is None else f"{accuracy:.2%}"
        say("accuracy", f"{name}: {_ROADS[road]:<18} {text} of {found.images:,} images")


def command(
    run: RunFolder,
    model: ModelOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Validation images. Default: all of them.")
    ] = None,
    tensor_images: Annotated[
        int, typer.Option(min=1, help="Images that are compared tensor by tensor.")
    ] = 16,
) -> None:
    """Compare float and int8 in every tensor, and the accuracy of torch, TFLite, TFLM and C.

    Writes RUN/MODEL/verify.json and verify.svg. Ends with an error where the generated C and the
    TFLM interpreter differ in a single byte.
    """
    from deploy.evidence.verify import plot_svg

    context = RunContext.open(run, model=model)
    problems = []
    for paths in context.models:
        found = _verify(context, paths, limit, tensor_images)
        write_atomic(paths.folder / "verify.json", json.dumps(found.to_dict(), indent=1) + "\n")
        write_atomic(paths.folder / "verify.svg", plot_svg(found, f"{paths.name}: int8 to float"))
        _print(paths.name, found)
        if found.reason is not None:
            say("verify", f"{paths.name}: not compared with TFLM: {found.reason}")
        elif found.exact:
            say("verify", f"{paths.name}: generated C equals TFLM in every byte")
        else:
            problems.append(f"{paths.name}: {found.differences[0]}")
    if problems:
        raise DeployError(
            f"generated C and TFLM disagree ({'; '.join(problems)}): this is a bug in a kernel; "
            "please report it with the .tflite file"
        )
