"""`netbooster build`: the generated C, for this machine and for the target."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import say
from deploy.core.errors import DeployError
from deploy.core.files import write_atomic
from deploy.core.stamps import Stamp
from deploy.run.context import DEFAULT_TARGET, ModelOption, ModelPaths, RunContext, TargetOption
from deploy.run.engine import Engine, EngineOption, TflmOption, build_tflm_stage
from deploy.run.single_file import build_file

NO_ARGS_IS_HELP = True


def stage(context: RunContext) -> None:
    """Build each model twice and measure the int8 accuracy on the host build."""
    target = context.target
    for paths in context.models:
        context.need(paths.generated / "plan.json", "compile")
        stamp = Stamp(
            paths.folder,
            f"build-{target.name}",
            inputs=[paths.generated],
            settings={"data": context.dataset.fingerprint()},
            outputs=[
                paths.host_library,
                paths.firmware(target.name),
                paths.build_json(target.name),
            ],
        )
        if not context.force and stamp.is_current():
            say("build", f"{paths.name}: up to date")
            continue
        stamp.clear()
        _build(context, paths)
        stamp.write()


def _build(context: RunContext, paths: ModelPaths) -> None:
    from deploy.build.firmware import build_firmware
    from deploy.build.host_model import HostModel, build_host
    from deploy.run.model_io import int8_accuracy

    target = context.target
    elf = paths.firmware(target.name)
    result = build_firmware(paths.generated, target, elf)
    record = {"compiler": result.compiler, "flags": result.flags, "sizes": asdict(result.sizes)}
    write_atomic(paths.build_json(target.name), json.dumps(record, indent=1) + "\n")
    sizes = result.sizes
    say(
        "build",
        f"{paths.name}: {elf} (flash {sizes.flash_total / 1000:.1f} KB, "
        f"static RAM {sizes.ram_static / 1000:.1f} KB)",
    )
    build_host(paths.generated, paths.host_library)
    accuracy, count = int8_accuracy(HostModel(paths.host_library).invoke, context.dataset)
    model = json.loads(paths.model_json.read_text())
    model["accuracy"] |= {"int8_test": accuracy, "test_images": count}
    write_atomic(paths.model_json, json.dumps(model, indent=1) + "\n")
    say(
        "build",
        f"{paths.name}: int8 accuracy {accuracy:.2%} on {count:,} test images "
        f"(host build; float {model['accuracy']['float_test']:.2%})",
    )


def build_folder(generated: Path, target_name: str, output: Path | None) -> Path:
    """Build one folder of generated C for a target."""
    from deploy.build.firmware import build_firmware
    from deploy.targets import load_target

    target = load_target(target_name)
    elf = output or generated.parent / f"firmware-{target.name}.elf"
    sizes = build_firmware(generated, target, elf).sizes
    say(
        "build",
        f"{elf}: code {sizes.code:,}, tables {sizes.tables:,}, weights {sizes.weights:,} bytes "
        f"of flash; arena {sizes.arena:,} of {sizes.ram_static:,} bytes of static RAM",
    )
    return elf


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|GENERATED|FILE.tflite",
            help="Run folder, a folder of generated C, or any int8 model.",
        ),
    ],
    target: TargetOption = DEFAULT_TARGET,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .elf, where no run is built."),
    ] = None,
    model: ModelOption = None,
    engine: EngineOption = "nb",
    tflm_dir: TflmOption = None,
) -> None:
    """Build the generated C for this machine and, with arm-none-eabi-gcc, for the target.

    The host build runs the whole test set: the int8 accuracy in the report comes from the same
    C that the board executes. A model that does not fit is refused, by bytes and layer.
    """
    chosen = Engine(engine, tflm_dir).check()
    if source.is_file():
        from deploy.targets import load_target

        build_file(source, load_target(target), output, chosen)
        return
    if (source / "plan.json").is_file():
        if engine != "nb":
            raise DeployError(f"--engine {engine} takes a run folder or a .tflite file")
        build_folder(source, target, output)
        return
    context = RunContext.open(source, target=target, model=model)
    if engine == "tflm":
        build_tflm_stage(context, chosen, force=True)
    else:
        stage(context)
    option = "" if engine == "nb" else f" --engine {engine}"
    say("build", f"done; next: netbooster emulate {source} --target {target}{option}")
