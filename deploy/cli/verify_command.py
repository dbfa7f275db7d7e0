# SPDX-License-Identifier: Apache-2.0
"""`netbooster verify`: float against int8 in every tensor; TFLM against C in every byte."""

from typing import TYPE_CHECKING, Annotated

import typer

from deploy import run
from deploy.cli.console import console, new_table, say
from deploy.cli.options import RunFolder
from deploy.core.errors import DeployError

if TYPE_CHECKING:
    from deploy.evidence.verify import Verification

NO_ARGS_IS_HELP = True
_ROADS = {
    "float_torch": "float, torch",
    "float_tflite": "float, TFLite",
    "int8_tflm": "int8, TFLM",
    "int8_c": "int8, generated C",
}


def command(
    folder: RunFolder,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Validation images. Default: all of them.")
    ] = None,
    tensor_images: Annotated[
        int, typer.Option(min=1, help="Images that are compared tensor by tensor.")
    ] = 16,
) -> None:
    """Compare float and int8 in every tensor, and the accuracy of torch, TFLite, TFLM and C.

    Writes RUN/verify.json and verify.svg. Ends with an error where the generated C and the TFLM
    interpreter differ in a single byte.
    """
    found = run.verify(folder, limit=limit, tensor_images=tensor_images, console=console)
    for name, result in found.items():
        _print(name, result)
        if result.reason is not None:
            say("verify", f"{name}: not compared with TFLM: {result.reason}")
        elif result.exact:
            say("verify", f"{name}: generated C equals TFLM in every byte")
    wrong = [f"{name}: {own.differences[0]}" for name, own in found.items() if own.exact is False]
    if wrong:
        raise DeployError(
            f"generated C and TFLM disagree ({'; '.join(wrong)}): this is a bug in a kernel; "
            "please report it with the .tflite file"
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
