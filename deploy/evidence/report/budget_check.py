# SPDX-License-Identifier: Apache-2.0
"""The verdict: does the contender cost exactly what the reference costs?

NetBooster trains a larger network and contracts it; the claim that this is free at inference
stands only if parameters, MACs, every tensor shape and the planned RAM are equal. What may differ
a little (flatbuffer bytes, flash, instructions: other constants) is listed with its cause.
"""

from dataclasses import dataclass, replace

from deploy.evidence.measurement import Measurement
from deploy.evidence.report import causes, numbers
from deploy.evidence.report.collect import RunData

TOLERANCE_PERCENT = 1.0

_Shapes = list[tuple[str, list[int]]]


@dataclass(frozen=True)
class BudgetRow:
    """One quantity of both runs. ``must_equal``: a difference breaks the budget.

    ``names``: of reference and contender.
    """

    quantity: str
    unit: str
    reference: int | None
    contender: int | None
    must_equal: bool
    cause: str = ""
    detail: str = ""  # what differs, for shapes, where the number may well be the same
    group: str = ""  # the word of the verdict sentence; rows may share one
    names: tuple[str, str] = ("reference", "contender")

    @property
    def known(self) -> bool:
        """Whether both models have a value."""
        return self.reference is not None and self.contender is not None

    @property
    def difference(self) -> int | None:
        """Contender minus reference."""
        if self.reference is None or self.contender is None:
            return None
        return self.contender - self.reference

    @property
    def percent(self) -> float | None:
        """The difference in percent of the reference; None where that has no meaning."""
        difference = self.difference
        if difference is None or (not self.reference and difference):
            return None
        return 100 * difference / self.reference if self.reference else 0.0

    @property
    def broken(self) -> bool:
        """Whether this row breaks the budget."""
        return self.must_equal and (bool(self.difference) or bool(self.detail))

    @property
    def flagged(self) -> bool:
        """Whether a quantity that may differ differs by more than the tolerance."""
        if self.must_equal or not self.difference:
            return False
        return self.percent is None or abs(self.percent) > TOLERANCE_PERCENT

    def describe(self) -> str:
        """The difference in words, for the verdict and for errors."""
        unit = f" {self.unit}" if self.unit else ""
        if self.detail:
            return f"{self.quantity}: {self.detail}"
        return (
            f"{self.quantity}: {self.names[0]} {numbers.count(self.reference)}, {self.names[1]} "
            f"{numbers.count(self.contender)}{unit} ({numbers.signed(self.difference or 0)})"
        )


@dataclass(frozen=True)
class BudgetCheck:
    """All rows and what follows from them; ``alone``: there is no other run to compare with."""

    rows: list[BudgetRow]
    names: tuple[str, str]
    alone: bool = False

    @property
    def broken(self) -> list[BudgetRow]:
        """The rows that break the budget."""
        return [row for row in self.rows if row.broken]

    @property
    def flagged(self) -> list[BudgetRow]:
        """The rows whose difference exceeds the tolerance."""
        return [row for row in self.rows if row.flagged]

    @property
    def kept(self) -> bool | None:
        """True or False; None where a quantity that must be equal is not known for both models."""
        if self.broken:
            return False
        return True if all(row.known for row in self.rows if row.must_equal) else None

    @property
    def sentence(self) -> str:
        """The verdict, the first line of the report."""
        must = [row for row in self.rows if row.must_equal]
        if self.broken:
            others = "; ".join(row.describe() for row in self.broken)
            return (
                f"Budget BROKEN: the {self.names[1]} model differs from the {self.names[0]} one in "
                f"{others}."
            )
        if self.alone:
            return (
                f"Budget NOT CHECKED: {self.names[1]} stands alone; `netbooster run` compares it "
                "with a vanilla model."
            )
        if self.kept is None:
            unknown = dict.fromkeys(row.group for row in must if not row.known)
            return f"Budget NOT CHECKED: {_join(list(unknown))} not known for both models."
        values: dict[str, str] = {}
        for row in must:
            unit = f" {row.unit}" if row.unit else ""
            values.setdefault(row.group, f"{row.group} ({numbers.count(row.reference)}{unit})")
        return (
            f"Budget kept: the {self.names[1]} model has the same {_join(list(values.values()))} "
            f"as the {self.names[0]} one."
        )


def check_budget(run: RunData) -> BudgetCheck:
    """Compare the two models of a run.

    Raises:
        DeployError: a flatbuffer of the run cannot be read.
    """
    names = run.reference.name, run.contender.name
    rows = [replace(row, names=names) for row in _training_rows(run) + _deployment_rows(run)]
    return BudgetCheck(rows, names, run.alone)


def _training_rows(run: RunData) -> list[BudgetRow]:
    reference, contender = run.reference.summary, run.contender.summary

    def row(quantity: str, key: str, group: str) -> BudgetRow:
        values = [getattr(item, key) if item else None for item in (reference, contender)]
        return BudgetRow(quantity, "", values[0], values[1], True, group=group)

    def shapes(quantity: str, key: str) -> BudgetRow:
        before, after = (getattr(item, key, None) for item in (reference, contender))
        return _shape_row(run, quantity, "tensors", before, after)

    return [
        row("Parameters", "parameters", "parameters"),
        row("of these in batch normalization", "bn_parameters", "parameters"),
        row("MACs", "macs", "MACs"),
        shapes("Activation shapes", "tensor_shapes"),
        shapes("Weight shapes", "state_shapes"),
    ]


def _deployment_rows(run: RunData) -> list[BudgetRow]:
    plans = [run.reference.plan, run.contender.plan]
    before, after = (
        [(layer.op, layer.output_shape) for layer in plan.layers] if plan else None
        for plan in plans
    )
    arenas = [plan.arena_bytes if plan else None for plan in plans]
    rows = [
        _shape_row(run, "Shapes of the int8 graph", "layers", before, after),
        BudgetRow("Planned RAM", "bytes", arenas[0], arenas[1], True, group="planned RAM"),
    ]
    facts = causes.read_both(run.reference, run.contender)
    sizes = [model.tflite_bytes for model in (run.reference, run.contender)]
    rows.append(
        BudgetRow(
            "Flatbuffer", "bytes", sizes[0], sizes[1], False,
            cause=causes.flatbuffer_cause(facts) if len(set(sizes)) > 1 and all(sizes) else "",
        )
    )  # fmt: skip
    reference, contender = run.reference.measurement, run.contender.measurement
    flash = [item.flash.total if item else None for item in (reference, contender)]
    count = [item.instructions if item else None for item in (reference, contender)]
    because = {"flash": "", "count": ""}
    if reference and contender:
        if incomparable(reference, contender):
            because["count"] = f"not comparable: {incomparable(reference, contender)}"
        elif count[0] != count[1] and None not in count:
            because["count"] = causes.instructions_cause(reference, contender, facts)
        if flash[0] != flash[1]:
            because["flash"] = causes.flash_cause(reference, contender)
    return [
        *rows,
        BudgetRow("Flash", "bytes", flash[0], flash[1], False, cause=because["flash"]),
        BudgetRow("Instructions", "", count[0], count[1], False, cause=because["count"]),
    ]


def incomparable(reference: Measurement, contender: Measurement) -> str:
    """Why two measurements must not be compared: what of their conditions differs; else empty."""
    conditions = {
        "compiler": (reference.toolchain.compiler, contender.toolchain.compiler),
        "compiler flags": (reference.toolchain.flags, contender.toolchain.flags),
        "emulator": (reference.toolchain.emulator, contender.toolchain.emulator),
        "counting": (reference.counting, contender.counting),
        "engine": (reference.engine, contender.engine),
        "clock": (reference.clock_hz, contender.clock_hz),
    }
    differing = [name for name, (before, after) in conditions.items() if before != after]
    return f"measured under different {_join(differing)}" if differing else ""


def _shape_row(
    run: RunData,
    quantity: str,
    unit: str,
    reference: _Shapes | None,
    contender: _Shapes | None,
) -> BudgetRow:
    """A row on lists of named shapes, which must be equal entry by entry."""
    known = reference is not None and contender is not None
    return BudgetRow(
        quantity,
        unit,
        None if reference is None else len(reference),
        None if contender is None else len(contender),
        True,
        detail=_shape_difference(run, reference or [], contender or []) if known else "",
        group="tensor shapes",
    )


def _shape_difference(run: RunData, reference: _Shapes, contender: _Shapes) -> str:
    """The first tensor that differs, in words; empty if all are equal."""
    for (name, shape), (other_name, other_shape) in zip(reference, contender, strict=False):
        before, after = f"{name} {_times(shape)}", f"{other_name} {_times(other_shape)}"
        if before != after:
            return f"{run.reference.name} {before}, {run.contender.name} {after}"
    if len(reference) != len(contender):
        return (
            f"{run.reference.name} has {len(reference)} tensors, {run.contender.name} "
            f"{len(contender)}"
        )
    return ""


def _times(shape: list[int]) -> str:
    return "×".join(str(size) for size in shape) if shape else "scalar"


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
