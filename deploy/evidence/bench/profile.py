"""The counts of one inference by layer and by function."""

from typing import Any

from deploy.codegen import Compilation


def layer_rows(compilation: Compilation, count: dict[str, Any]) -> list[dict[str, Any]]:
    """What each layer took, in execution order.

    ``bytes_touched`` are the layer's inputs, outputs, weights and tables, each once;
    ``bytes_loaded`` and ``bytes_stored`` is what its instructions moved.
    """
    counted = {layer["symbol"]: layer for layer in count["layers"]}
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
                "instructions": own["instructions"],
                "macs": planned.macs,
                "macs_per_instruction": round(planned.macs / own["instructions"], 4),
                "cycles_estimated": own.get("cycles_estimated"),
                "bytes_touched": maps + planned.weight_bytes + planned.table_bytes,
                "bytes_loaded": own["bytes_loaded"],
                "bytes_stored": own["bytes_stored"],
                "calls": own["calls"],
                "output_shape": planned.output_shape,
            }
        )
    return rows


def function_rows(count: dict[str, Any]) -> list[dict[str, Any]]:
    """What each function took without what it calls, most instructions first."""
    rows = [
        {
            "name": own["symbol"],
            **{
                key: own.get(key)
                for key in (
                    "calls", "instructions", "cycles_estimated", "bytes_loaded", "bytes_stored"
                )
            },
        }
        for own in count["functions"]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row["instructions"], row["name"]))


def outside_share(count: dict[str, Any]) -> float:
    """The share of the instructions that ran in no layer."""
    layers = sum(layer["instructions"] for layer in count["layers"])
    return 1 - layers / int(count["instructions"])
