# SPDX-License-Identifier: Apache-2.0
"""Instructions by layer: two charts and a table."""

from dataclasses import dataclass

from deploy.evidence.measurement import MeasuredLayer
from deploy.evidence.report import numbers
from deploy.evidence.report.budget_check import incomparable
from deploy.evidence.report.charts import ColumnChart, column_chart
from deploy.evidence.report.collect import RunData

OPERATOR_STYLES = {
    "CONV_2D": "op-a",
    "DEPTHWISE_CONV_2D": "op-b",
    "FULLY_CONNECTED": "op-c",
    "ADD": "op-d",
}
OTHER_STYLE = "op-e"


@dataclass(frozen=True)
class LayerRow:
    """One layer of the primary model beside the same layer of the reference."""

    index: int
    layer: MeasuredLayer
    share: float
    macs_per_instruction: float | None
    reference: int | None

    @property
    def difference(self) -> float | None:
        """Against the reference, in percent."""
        if not self.reference:
            return None
        return 100 * (self.layer.instructions - self.reference) / self.reference


@dataclass(frozen=True)
class LayerSection:
    """Instructions by layer of one model."""

    model: str
    reference: str
    compared: bool
    rows: list[LayerRow]
    charts: list[ColumnChart]
    total: int
    layers_total: int
    has_cycles: bool


def layer_section(run: RunData) -> LayerSection | None:
    """Instructions and MACs per instruction by layer; None before any emulation."""
    model = run.measured
    if model is None or model.measurement is None or not model.measurement.layers:
        return None
    measured = model.measurement
    other = run.reference.measurement if model is run.contender else None
    compared = (
        other is not None
        and not incomparable(other, measured)
        and [layer.op for layer in other.layers] == [layer.op for layer in measured.layers]
    )
    total = sum(layer.instructions for layer in measured.layers)
    rows = [
        LayerRow(
            index,
            layer,
            100 * layer.instructions / (total or 1),
            layer.macs / layer.instructions if layer.macs and layer.instructions else None,
            other.layers[index].instructions if compared and other else None,
        )
        for index, layer in enumerate(measured.layers)
    ]
    operators = dict.fromkeys(row.layer.op for row in rows)
    named = [(op, OPERATOR_STYLES[op]) for op in operators if op in OPERATOR_STYLES]
    legend = named + ([("other", OTHER_STYLE)] if len(named) < len(operators) else [])
    styles = [OPERATOR_STYLES.get(row.layer.op, OTHER_STYLE) for row in rows]
    names = [f"{row.index} {row.layer.name} ({row.layer.op})" for row in rows]
    instructions = column_chart(
        "Instructions by layer",
        [row.layer.instructions for row in rows],
        styles=styles,
        tooltips=[
            f"{name}: {row.layer.instructions:,} instructions, {row.share:.1f}% of all layers"
            for name, row in zip(names, rows, strict=True)
        ],
        references=[row.reference for row in rows],
        legend=legend,
        x_label="layer",
        y_label="instructions",
    )
    density = column_chart(
        "MACs per instruction by layer",
        [row.macs_per_instruction or 0.0 for row in rows],
        styles=styles,
        tooltips=[
            f"{name}: {numbers.ratio(row.layer.macs, row.layer.instructions)} MACs per instruction"
            for name, row in zip(names, rows, strict=True)
        ],
        references=[None] * len(rows),
        legend=legend,
        x_label="layer",
        y_label="MACs per instruction",
    )
    return LayerSection(
        model.name,
        run.reference.name,
        compared,
        rows,
        [chart for chart in (instructions, density) if chart],
        measured.instructions or 0,
        total,
        any(layer.cycles_estimated is not None for layer in measured.layers),
    )
