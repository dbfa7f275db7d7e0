"""The compiler's front: .tflite bytes to a folder of C."""

from pathlib import Path

from deploy.codegen.emit import emit_files
from deploy.codegen.plan import Plan, make_plan
from deploy.errors import DeployError
from deploy.files import write_atomic
from deploy.graph import lower_graph, read_graph
from deploy.schedule import INPUTS, SCHEDULES, Flow, plan_schedule


def compile_model(
    data: bytes,
    out_dir: Path,
    *,
    name: str,
    schedule: str = "auto",
    ram: int | None = None,
    input_mode: str = "image",
) -> Plan:
    """Compile an int8 model to C: model.h, model.c, model_weights.c and plan.json.

    Args:
        data: the .tflite flatbuffer.
        out_dir: made if it does not exist; files of an earlier compilation are replaced.
        name: the model's name, in messages, plan.json and ``nb_model.name``.
        schedule: "layer": one kernel call a layer; "fused": blocks a few rows at a time; "rows":
            also the network's beginning; "auto": what suits ``ram``.
        ram: bytes that the arena may take; the fastest plan that fits is chosen. None: the
            smallest plan that costs next to no instructions.
        input_mode: "image": the whole input lies in RAM; "rows": nb_push_row gets it row by row.

    Returns:
        The plan; identical input gives byte-identical files.

    Raises:
        DeployError: the model cannot be read or compiled, does not fit into ``ram``, or the
            folder cannot be written.
    """
    for what, value, known in (
        ("schedule", schedule, SCHEDULES), ("input mode", input_mode, INPUTS)
    ):  # fmt: skip
        if value not in known:
            raise DeployError(f"{name}: unknown {what} {value!r}; one of {', '.join(known)}")
    graph = read_graph(data, name)
    flow = Flow(graph, lower_graph(graph))
    chosen = plan_schedule(flow, schedule, ram, pushed=input_mode == "rows")
    plan = make_plan(flow, chosen)
    for file_name, text in emit_files(flow, chosen, plan).items():
        write_atomic(out_dir / file_name, text)
    return plan
