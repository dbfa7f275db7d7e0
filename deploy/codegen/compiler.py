"""The compiler's front: .tflite bytes to a folder of C."""

from pathlib import Path

from deploy.codegen.emit import emit_files
from deploy.codegen.plan import Plan, make_plan
from deploy.errors import DeployError
from deploy.files import write_atomic
from deploy.graph import lower_graph, read_graph
from deploy.schedule import plan_memory

SCHEDULES = ("layer",)


def compile_model(data: bytes, out_dir: Path, *, name: str, schedule: str = "layer") -> Plan:
    """Compile an int8 model to C: model.h, model.c, model_weights.c and plan.json.

    Args:
        data: the .tflite flatbuffer.
        out_dir: made if it does not exist; files of an earlier compilation are replaced.
        name: the model's name, in messages, plan.json and ``nb_model.name``.
        schedule: "layer": one kernel call a layer, depthwise convolutions in place.

    Returns:
        The plan; identical input gives byte-identical files.

    Raises:
        DeployError: the model cannot be read or compiled, or the folder cannot be written.
    """
    if schedule not in SCHEDULES:
        raise DeployError(f"{name}: unknown schedule {schedule!r}; one of {', '.join(SCHEDULES)}")
    graph = read_graph(data, name)
    # Aliases cost nothing at run time but join memory; the planner needs them in their place.
    everything = lower_graph(graph)
    memory, layers = plan_memory(graph, everything), [la for la in everything if not la.alias]
    plan = make_plan(graph, layers, memory, schedule)
    for file_name, text in emit_files(graph, layers, memory, plan).items():
        write_atomic(out_dir / file_name, text)
    return plan
