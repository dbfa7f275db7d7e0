# SPDX-License-Identifier: Apache-2.0
"""Why a quantity that may differ does differ, computed from what the run folder holds."""

from deploy.evidence.measurement import Measurement
from deploy.evidence.report import numbers
from deploy.evidence.report.collect import ModelRun
from deploy.evidence.report.flatbuffer_facts import FlatbufferFacts, read_facts

NAMED_LAYERS = 3


def read_both(reference: ModelRun, contender: ModelRun) -> tuple[FlatbufferFacts, ...] | None:
    """The facts of both flatbuffers, or None where one is missing.

    Raises:
        DeployError: one of them cannot be read.
    """
    if reference.tflite is None or contender.tflite is None:
        return None
    return tuple(
        read_facts(run.tflite, f"{run.name}/model.tflite")
        for run in (reference, contender)
        if run.tflite is not None
    )


def flatbuffer_cause(facts: tuple[FlatbufferFacts, ...] | None) -> str:
    """Which content of the flatbuffer accounts for the difference in bytes."""
    if facts is None:
        return "not determined: the .tflite files are not in the run folder"
    reference, contender = facts
    return _by_part({key: (reference.parts[key], contender.parts[key]) for key in reference.parts})


def flash_cause(reference: Measurement, contender: Measurement) -> str:
    """Which sections account for the difference in flash, and whether the code is the same."""
    pairs = {
        key: (getattr(reference.flash, key), getattr(contender.flash, key))
        for key in ("code", "tables", "weights", "other")
    }
    text = _by_part(pairs)
    if pairs["code"][0] != pairs["code"][1]:
        if _kernels(reference) == _kernels(contender):
            text += (
                "; every layer calls the same kernel, so the code differs only in the constants "
                "compiled into it"
            )
        else:
            text += f"; {_kernel_difference(reference, contender)}"
    return text


def instructions_cause(
    reference: Measurement, contender: Measurement, facts: tuple[FlatbufferFacts, ...] | None
) -> str:
    """Which layers account for the difference in instructions, and what differs in them."""
    if not reference.layers and not contender.layers:
        return "not determined: there are no counts by layer"
    if _kernels(reference) != _kernels(contender):
        return _kernel_difference(reference, contender)
    differing = [
        (after.instructions - before.instructions, after.name, before.instructions)
        for before, after in zip(reference.layers, contender.layers, strict=True)
        if after.instructions != before.instructions
    ]
    if not differing:
        return "no layer differs: the difference lies between the layers"
    differing.sort(key=lambda item: (-abs(item[0]), item[1]))
    named = ", ".join(
        f"{name} {numbers.signed(delta)}" for delta, name, _ in differing[:NAMED_LAYERS]
    )
    text = (
        f"{len(differing)} of {len(contender.layers)} layers differ, most: {named}; same kernels "
        "and shapes, so it comes from constants and activation values"
    )
    return text + (f" ({_shift_difference(facts)})" if facts else "")


def _shift_difference(facts: tuple[FlatbufferFacts, ...]) -> str:
    reference, contender = ([shift for layer in item.shifts for shift in layer] for item in facts)
    if len(reference) != len(contender):
        return f"{len(reference)} against {len(contender)} requantized channels"
    changed = sum(before != after for before, after in zip(reference, contender, strict=True))
    return f"the requantization shift differs in {changed:,} of {len(reference):,} channels"


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


def _kernel_difference(reference: Measurement, contender: Measurement) -> str:
    if len(reference.layers) != len(contender.layers):
        return f"{len(reference.layers)} layers against {len(contender.layers)}"
    other = [
        f"{after.name} ({before.kernel} against {after.kernel})"
        for before, after in zip(reference.layers, contender.layers, strict=True)
        if before.kernel != after.kernel
    ]
    more = f" and {len(other) - NAMED_LAYERS} more" if len(other) > NAMED_LAYERS else ""
    return f"other kernels in {', '.join(other[:NAMED_LAYERS])}{more}"
