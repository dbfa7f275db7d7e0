# SPDX-License-Identifier: Apache-2.0
"""The compiler's front: .tflite bytes to a folder of C."""

from dataclasses import dataclass
from pathlib import Path

from deploy.codegen.emit import emit_files
from deploy.codegen.int16_weights import widen_weights
from deploy.codegen.plan import Plan, make_plan
from deploy.core.errors import DeployError
from deploy.schedule import INPUTS, SCHEDULES, Flow, Schedule, join_flow, plan_schedule
from deploy.tflite import Graph, Layer, lower_graph, read_graph
from deploy.tflite.passes import remove_dead, settle_constants
from netbooster.common.files import write_atomic


@dataclass(frozen=True)
class Compilation:
    """A planned model, before anything is written.

    Attributes:
        original: the graph of the file.
        flow, schedule, plan: what will be emitted.
        removed_channels: channels of activations that are known or unread, and gone.
        removed_macs: multiply-accumulates that went with them.
    """

    original: Graph
    flow: Flow
    schedule: Schedule
    plan: Plan
    removed_channels: int
    removed_macs: int


def plan_model(
    data: bytes,
    *,
    name: str,
    schedule: str = "auto",
    ram: int | None = None,
    limit: int | None = None,
    input_mode: str = "image",
    keep_dead: bool = False,
    constants_limit: int | None = None,
) -> Compilation:
    """Read a model and plan its memory; nothing is written.

    Args:
        data: the .tflite flatbuffer.
        name: the model's name, in messages, plan.json and ``nb_model.name``.
        schedule: "layer": one kernel call a layer; "fused": blocks a few rows at a time; "rows":
            also the network's beginning; "auto": what suits ``ram``.
        ram: bytes that the arena may take; the fastest plan that fits is chosen. None: the
            smallest plan that costs next to no instructions.
        limit: bytes that there are at most; they matter only where ``ram`` is None and the plan
            that it gives is larger: then the fastest that fits is chosen.
        input_mode: "image": the whole input lies in RAM; "rows": nb_push_row gets it row by row.
        keep_dead: keep channels whose value is known at compile time, or that nothing reads.
        constants_limit: weights may become int16 as long as weights and tables take at most this
            many bytes together, on cores with DSP instructions; None: they stay int8.

    Raises:
        DeployError: the model cannot be read or compiled, or fits no schedule (says by how many
            bytes, at which layer).
    """
    for what, value, known in (
        ("schedule", schedule, SCHEDULES), ("input mode", input_mode, INPUTS)
    ):  # fmt: skip
        if value not in known:
            raise DeployError(f"{name}: unknown {what} {value!r}; one of {', '.join(known)}")
    original = graph = read_graph(data, name)
    channels = 0
    if not keep_dead:
        removal = remove_dead(graph)
        graph, channels = removal.graph, removal.channels
    layers = lower_graph(settle_constants(graph))
    if constants_limit is not None:
        taken = sum(layer.bytes_of(kind) for layer in layers for kind in ("weights", "tables"))
        layers = widen_weights(layers, constants_limit - taken)
    flow, chosen = _plan(graph, layers, schedule, ram, limit, pushed=input_mode == "rows")
    macs = sum(layer.macs for layer in layers)
    before = macs if graph is original else sum(layer.macs for layer in lower_graph(original))
    return Compilation(original, flow, chosen, make_plan(flow, chosen), channels, before - macs)


def _plan(
    graph: Graph,
    layers: list[Layer],
    schedule: str,
    ram: int | None,
    limit: int | None,
    *,
    pushed: bool,
) -> tuple[Flow, Schedule]:
    """A plan in which concatenations copy as little as can be, unless one with more copies needs
    less memory: layers whose pieces lie apart cannot be streamed. With ``ram`` the first that fits.
    """

    def plan(flow: Flow) -> tuple[Flow, Schedule]:
        chosen = plan_schedule(flow, schedule, ram, pushed=pushed)
        if ram is None and limit is not None and chosen.arena_bytes > limit:
            chosen = plan_schedule(flow, schedule, limit, pushed=pushed)
        return flow, chosen

    flows = [join_flow(graph, layers)]
    apart = {join.apart for join in flows[0].joins.values()}
    if len(apart) == 2:
        flows.append(join_flow(graph, layers, apart=False))
    if apart:
        flows.append(Flow(graph, layers))
    found = []
    for flow in flows:
        try:
            found.append(plan(flow))
        except DeployError:
            if flow is flows[-1] and not found:
                raise
            continue
        if ram is not None:
            break
    return min(found, key=lambda each: each[1].arena_bytes)


def write_model(compilation: Compilation, out_dir: Path) -> None:
    """Write model.h, model.c, model_weights.c and plan.json.

    Raises:
        DeployError: the folder cannot be written.
    """
    flow, schedule, plan = compilation.flow, compilation.schedule, compilation.plan
    for file_name, text in emit_files(flow, schedule, plan).items():
        write_atomic(out_dir / file_name, text)


def compile_model(
    data: bytes,
    out_dir: Path,
    *,
    name: str,
    schedule: str = "auto",
    ram: int | None = None,
    limit: int | None = None,
    input_mode: str = "image",
    keep_dead: bool = False,
    constants_limit: int | None = None,
) -> Plan:
    """Compile an int8 model to C: model.h, model.c, model_weights.c and plan.json.

    Args:
        out_dir: made if it does not exist; files of an earlier compilation are replaced.

    The other arguments are those of :func:`plan_model`.

    Returns:
        The plan; identical input gives byte-identical files.

    Raises:
        DeployError: the model cannot be read or compiled, does not fit into ``ram``, or the
            folder cannot be written.
    """
    compilation = plan_model(
        data, name=name, schedule=schedule, ram=ram, limit=limit, input_mode=input_mode,
        keep_dead=keep_dead, constants_limit=constants_limit,
    )  # fmt: skip
    write_model(compilation, out_dir)
    return compilation.plan
