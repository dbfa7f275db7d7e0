# SPDX-License-Identifier: Apache-2.0
"""`netbooster bench`: one model on the emulator, in numbers."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli.console import console, new_table, say
from deploy.cli.options import (
    DEFAULT_TARGET,
    InputMode,
    InputOption,
    KeepDeadOption,
    ModelFile,
    RamOption,
    ScheduleName,
    ScheduleOption,
    TargetOption,
    WidenOption,
)
from deploy.run import Planning
from netbooster.common.files import read_bytes, write_atomic

NO_ARGS_IS_HELP = True
_FUNCTIONS = 25  # lines of the table; the JSON has all


def command(
    file: ModelFile,
    target: TargetOption = DEFAULT_TARGET,
    input_mode: InputOption = InputMode.IMAGE,
    schedule: ScheduleOption = ScheduleName.AUTO,
    ram: RamOption = None,
    keep_dead: KeepDeadOption = None,
    widen_weights: WidenOption = False,
    inputs: Annotated[
        int, typer.Option(min=4, help="Random inputs that are compared with TFLM.")
    ] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random inputs.")] = 0,
    profile: Annotated[bool, typer.Option("--profile", help="Count by function as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the JSON to this file as well.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep generated C and firmware in this folder.")
    ] = None,
) -> None:
    """Compile, build, run and compare one model; report instructions, RAM and flash.

    Counts begin with the input in place (or the first pushed row) and end with the last output
    byte. Exit code 1: an output byte differs from the TFLM interpreter's.
    """
    from deploy.evidence.bench import Settings, bench_model
    from deploy.targets import load_target

    board = load_target(target)
    planning = Planning(schedule, input_mode, ram, keep_dead, widen_weights)
    settings = Settings(
        planning.arguments(board, in_run=False), inputs, seed, functions=profile, folder=keep
    )
    record = bench_model(read_bytes(file), file.stem, board, settings)
    text = json.dumps(record, indent=1) + "\n"
    if output is not None:
        write_atomic(output, text)
    if as_json:
        typer.echo(text, nl=False)
    else:
        _print(record)
    if record["exact"] is False:
        raise typer.Exit(1)


def _print(record: dict[str, Any]) -> None:
    table = new_table(
        f"{record['model']} on {record['target']}, schedule {record['schedule']}, input by "
        f"{record['input']}",
        *("operator", "output", "kernel", ">instructions", ">cycles (est.)", ">MACs"),
        *(">MAC/instr", ">bytes touched"),
        wrap="layer",
    )
    for layer in record["layers"]:
        table.add_row(
            layer["op"],
            "x".join(map(str, layer["output_shape"])),
            layer["kernel"].removeprefix("nb_"),
            f"{layer['instructions']:,}",
            _count(layer["cycles_estimated"]),
            f"{layer['macs']:,}",
            f"{layer['macs_per_instruction']:.3f}",
            f"{layer['bytes_touched']:,}",
            layer["name"],
        )
    console.print(table)
    if "functions" in record:
        _print_functions(record["functions"])
    ram, flash = record["ram"], record["flash"]
    say(
        "count",
        f"{record['instructions']:,} instructions, {_count(record['cycles_estimated'])} cycles "
        f"(estimated), {record['macs']:,} MACs, {record['macs_per_instruction']:.3f} MAC an "
        f"instruction; {record['outside_layers']:.2%} in no layer",
    )
    if record["channels_removed"]:
        say(
            "dead",
            f"{record['channels_removed']:,} channels and {record['macs_removed']:,} MACs removed "
            "at compile time (--keep-dead keeps them)",
        )
    say(
        "ram",
        f"{ram['total']:,} bytes: activations {ram['activations']:,}, scratch {ram['scratch']:,}, "
        f"variables {ram['static']:,}, stack {ram['stack']:,}",
    )
    say(
        "flash",
        f"{flash['total']:,} bytes: weights {flash['weights']:,}, tables {flash['tables']:,}, "
        f"code {flash['code']:,} (kernels and model {flash['engine']:,}, the rest harness and "
        f"start-up); {flash['beyond']:,} beyond the weights' own bytes and 9 an "
        "output channel",
    )
    if record["int16_weights"]:
        say(
            "int16",
            f"{record['int16_weights']:,} bytes of the weights are int16 (--widen-weights): half "
            "of them would do",
        )
    say("start", f"{record['initialization']['instructions']:,} instructions before the first")
    exact = {
        True: f"every output byte equals TFLM's on {record['inputs_compared']} random inputs",
        False: "OUTPUT BYTES DIFFER FROM TFLM'S: a bug in a kernel; please report it",
        None: f"not compared with TFLM: {record.get('not_compared')}",
    }
    say("exact", exact[record["exact"]])
    say("built", f"{record['compiler']}, {record['flags']}; {record['emulator']}")


def _print_functions(functions: list[dict[str, Any]]) -> None:
    table = new_table(
        f"functions, without what they call ({len(functions)}; the first {_FUNCTIONS})",
        *(">instructions", ">cycles (est.)", ">calls", ">bytes loaded", ">bytes stored"),
        wrap="function",
    )
    for function in functions[:_FUNCTIONS]:
        table.add_row(
            f"{function['instructions']:,}",
            _count(function["cycles_estimated"]),
            f"{function['calls']:,}",
            f"{function['bytes_loaded']:,}",
            f"{function['bytes_stored']:,}",
            function["name"],
        )
    console.print(table)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
