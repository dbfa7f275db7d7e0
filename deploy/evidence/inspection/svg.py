# SPDX-License-Identifier: Apache-2.0
"""The graph as an SVG: one box an operator, with its live memory beside it."""

from functools import cache
from pathlib import Path

from jinja2 import Template

from deploy.core.templates import template_set
from deploy.evidence.inspection.facts import Inspection

_ROW, _TOP, _BOX_LEFT, _BOX_WIDTH = 34, 84, 60, 430
_BAR_LEFT, _BAR_WIDTH = 520, 300
_LANE = 9  # pixels between the lines of edges that skip operators


@cache
def _template() -> Template:
    return template_set(Path(__file__).parent).get_template("graph.svg.j2")


def render_svg(inspection: Inspection) -> str:
    """The SVG's text; the same model gives the same bytes.

    Boxes are in order of execution. Edges between neighbours are straight, others run on lanes to
    the left; bars show the bytes of activations that are alive while an operator runs.
    """
    largest = max((op.live_bytes for op in inspection.operators), default=1) or 1
    rows, skips = [], []
    lanes: list[int] = []  # the row at which each becomes free
    for position, op in enumerate(inspection.operators):
        top = _TOP + position * _ROW
        share = op.live_bytes / largest
        rows.append({"op": op, "top": top, "bar": round(share * _BAR_WIDTH, 1), "peak": share == 1})
        for source in sorted(set(op.inputs)):
            if source >= position - 1:
                continue
            lane = next((i for i, free in enumerate(lanes) if free <= source), len(lanes))
            lanes[lane : lane + 1] = [position]
            x = max(_BOX_LEFT - _LANE * (lane + 1), 4)
            start = _TOP + source * _ROW + (_ROW - 8) / 2
            skips.append({"x": x, "start": start, "end": top + (_ROW - 8) / 2})
    return _template().render(
        model=inspection,
        rows=rows,
        skips=skips,
        row_height=_ROW,
        box_left=_BOX_LEFT,
        box_width=_BOX_WIDTH,
        bar_left=_BAR_LEFT,
        width=_BAR_LEFT + _BAR_WIDTH + 110,
        height=_TOP + len(rows) * _ROW + 12,
    )
