# SPDX-License-Identifier: Apache-2.0
"""The counts of one inference by layer and by function."""

from dataclasses import asdict
from typing import Any

from deploy.codegen import Compilation
from deploy.devices import Lap


def layer_rows(compilation: Compilation, count: Lap) -> list[dict[str, Any]]:
    """What each layer took, in execution order.

    ``bytes_touched`` are the layer's inputs, outputs, weights and tables, each once;
    ``bytes_loaded`` and ``bytes_stored`` is what its instructions moved.
    """
    counted = {layer.symbol: layer for layer in count.layers}
    tensors = compilation.flow.graph.tensors
    rows = []
    for layer, planned in zip(compilation.flow.layers, compilation.plan.layers, strict=True):
        own = counted[planned.symbol]
        maps = sum(tensors[index].bytes for index in {*layer.inputs, *layer.outputs})
        rows.append(
            {
                "name": planned.name,
                "op": planned.op,
                "kernel": planned.kernel,
                "instructions": own.instructions,
                "macs": planned.macs,
                "macs_per_instruction": round(planned.macs / own.instructions, 4),
                "cycles_estimated": own.cycles_estimated,
                "bytes_touched": maps + planned.weight_bytes + planned.table_bytes,
                "bytes_loaded": own.bytes_loaded,
                "bytes_stored": own.bytes_stored,
                "calls": own.calls,
                "output_shape": planned.output_shape,
            }
        )
    return rows


def function_rows(count: Lap) -> list[dict[str, Any]]:
    """What each function took without what it calls, most instructions first."""
    rows = [asdict(own) for own in count.functions]
    rows = [{"name": row.pop("symbol"), **row} for row in rows]
    return sorted(rows, key=lambda row: (-row["instructions"], row["name"]))


def outside_share(count: Lap) -> float:
    """The share of the instructions that ran in no layer."""
    layers = sum(layer.instructions for layer in count.layers)
    return 1 - layers / (count.instructions or 1)
