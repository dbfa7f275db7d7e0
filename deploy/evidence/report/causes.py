"""Why a quantity that may differ does differ, computed from what the run folder holds."""

from deploy.evidence.measurement import Measurement
from deploy.evidence.report import numbers
from deploy.evidence.report.collect import ModelRun
from deploy.evidence.report.flatbuffer_facts import FlatbufferFacts, read_facts

NAMED_LAYERS = 3


def read_both(vanilla: ModelRun, boosted: ModelRun) -> tuple[FlatbufferFacts, ...] | None:
    """The facts of both flatbuffers, or None where one is missing.

    Raises:
        DeployError: one of them cannot be read.
    """
    if vanilla.tflite is None or boosted.tflite is None:
        return None
    return tuple(
        read_facts(run.tflite, f"{run.name}/model.tflite")
        for run in (vanilla, boosted)
        if run.tflite is not None
    )


def flatbuffer_cause(facts: tuple[FlatbufferFacts, ...] | None) -> str:
    """Which content of the flatbuffer accounts for the difference in bytes."""
    if facts is None:
        return "not determined: the .tflite files are not in the run folder"
    vanilla, boosted = facts
    return _by_part({key: (vanilla.parts[key], boosted.parts[key]) for key in vanilla.parts})


def flash_cause(vanilla: Measurement, boosted: Measurement) -> str:
    """Which sections account for the difference in flash, and whether the code is the same."""
    pairs = {
        key: (getattr(vanilla.flash, key), getattr(boosted.flash, key))
        for key in ("code", "tables", "weights", "other")
    }
    text = _by_part(pairs)
    if pairs["code"][0] != pairs["code"][1]:
        if _kernels(vanilla) == _kernels(boosted):
            text += (
                "; every layer calls the same kernel, so the code differs only in the constants "
                "compiled into it"
            )
        else:
            text += f"; {_kernel_difference(vanilla, boosted)}"
    return text


def instructions_cause(
    vanilla: Measurement, boosted: Measurement, facts: tuple[FlatbufferFacts, ...] | None
) -> str:
    """Which layers account for the difference in instructions, and what differs in them."""
    if not vanilla.layers and not boosted.layers:
        return "not determined: there are no counts by layer"
    if _kernels(vanilla) != _kernels(boosted):
        return _kernel_difference(vanilla, boosted)
    differing = [
        (after.instructions - before.instructions, after.name, before.instructions)
        for before, after in zip(vanilla.layers, boosted.layers, strict=True)
        if after.instructions != before.instructions
    ]
    if not differing:
        return "no layer differs: the difference lies between the layers"
    differing.sort(key=lambda item: (-abs(item[0]), item[1]))
    named = ", ".join(
        f"{name} {numbers.signed(delta)}" for delta, name, _ in differing[:NAMED_LAYERS]
    )
    text = (
        f"{len(differing)} of {len(boosted.layers)} layers differ, most: {named}; same kernels "
        "and shapes, so it comes from constants and activation values"
    )
    return text + (f" ({_shift_difference(facts)})" if facts else "")


def _shift_difference(facts: tuple[FlatbufferFacts, ...]) -> str:
    vanilla, boosted = ([shift for layer in item.shifts for shift in layer] for item in facts)
    if len(vanilla) != len(boosted):
        return f"{len(vanilla)} against {len(boosted)} requantized channels"
    changed = sum(before != after for before, after in zip(vanilla, boosted, strict=True))
    return f"the requantization shift differs in {changed:,} of {len(vanilla):,} channels"


def _by_part(pairs: dict[str, tuple[int, int]]) -> str:
    changed = [
        f"{name} {numbers.signed(after - before)}"
        for name, (before, after) in pairs.items()
        if after != before
    ]
    same = [name for name, (before, after) in pairs.items() if after == before]
    text = ", ".join(changed) + " bytes" if changed else ""
    if same and changed:
        text += f"; equal: {', '.join(same)}"
    return text


def _kernels(measured: Measurement) -> list[str]:
    return [layer.kernel for layer in measured.layers]


def _kernel_difference(vanilla: Measurement, boosted: Measurement) -> str:
    if len(vanilla.layers) != len(boosted.layers):
        return f"{len(vanilla.layers)} layers against {len(boosted.layers)}"
    other = [
        f"{after.name} ({before.kernel} against {after.kernel})"
        for before, after in zip(vanilla.layers, boosted.layers, strict=True)
        if before.kernel != after.kernel
    ]
    more = f" and {len(other) - NAMED_LAYERS} more" if len(other) > NAMED_LAYERS else ""
    return f"other kernels in {', '.join(other[:NAMED_LAYERS])}{more}"
