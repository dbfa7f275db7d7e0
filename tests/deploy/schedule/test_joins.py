# SPDX-License-Identifier: Apache-2.0
"""Random nets that join channels, every byte against the TFLM interpreter, and their plans."""

from typing import Any

import numpy as np
import plan_check
import pytest
import random_joins
import target_runner

from deploy.codegen import plan_model
from deploy.core.errors import DeployError
from deploy.schedule import join_flow
from deploy.schedule.planner import Planner, arrange
from deploy.tflite import lower_graph, read_graph

BUILDS = ("host", "cortex-m4", "cortex-m3")
PART = 20  # nets in one program
ENOUGH = 1_000_000  # bytes of RAM: what can be written in place is
WIDE = 1_000_000  # bytes of flash: all weights become int16
OPTIONS: tuple[dict[str, Any], ...] = (
    {"ram": ENOUGH, "schedule": "layer"},
    {"ram": ENOUGH, "constants_limit": WIDE},
    {"ram": ENOUGH, "keep_dead": True},
    {"schedule": "auto"},
    {"tight": True},
    {"tight": True, "input_mode": "rows", "constants_limit": WIDE},
)


def model(seed: int) -> bytes:
    return random_joins.joined(np.random.default_rng([seed, 5]))


def options_for(data: bytes, options: dict[str, Any]) -> dict[str, Any]:
    """With ``tight`` replaced by the least RAM that a plan of all joins needs: many streams."""
    if not options.get("tight"):
        return options
    rest = {key: value for key, value in options.items() if key != "tight"}
    graph = read_graph(data, "tight")
    flow = join_flow(graph, lower_graph(graph))
    try:
        segments, cost = Planner(flow, "auto", "input_mode" in rest).smallest(float("inf"))[1:]
        ram = arrange(flow, "auto", segments, cost).arena_bytes
        plan_model(data, name="tight", ram=ram, **rest)
    except DeployError:  # its input cannot be pushed, or without dead channels it plans otherwise
        return {"ram": ENOUGH}
    return {"ram": ram, **rest}


def compare(build, seeds, folder):
    target_runner.require(build)
    models = [model(seed) for seed in seeds]
    options = [
        options_for(data, OPTIONS[seed % len(OPTIONS)])
        for seed, data in zip(seeds, models, strict=True)
    ]
    said = target_runner.run(build, models, np.random.default_rng(0), folder, options)
    assert said == "equal", said


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("build", BUILDS)
def test_bytes(build, part, tmp_path):
    compare(build, range(part * PART, (part + 1) * PART), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3, 30))
@pytest.mark.parametrize("build", BUILDS)
def test_bytes_slow(build, part, tmp_path):
    compare(build, range(part * PART, (part + 1) * PART), tmp_path)


def test_the_nets_have_all_cases():
    """Every kernel writes pieces, beside others that are copied, and streams of pieces run."""
    seen, copied, together = set(), 0, 0
    for seed in range(3 * PART):
        graph = read_graph(model(seed), "random")
        flow = join_flow(graph, lower_graph(graph))
        writers = [n for n in range(len(flow.layers)) if flow.pitched(n) is not None]
        seen |= {flow.layers[n].symbol for n in writers}
        copied += sum(join.copy is not None for join in flow.joins.values())
        together += sum(join.apart for join in flow.joins.values())
    assert copied > 10 and together > 0
    assert seen >= {
        "nb_average_pool_s8", "nb_max_pool_s8", "nb_resize_nearest_s8", "nb_resize_bilinear_s8",
        "nb_conv_1x1_s8", "nb_conv_1x1_clamped_s8", "nb_conv_1x1_any_s8", "nb_conv_any_s8",
        "nb_conv_s8", "nb_conv_clamped_s8", "nb_conv_grouped_s8", "nb_depthwise_conv_s8",
        "nb_depthwise_conv_clamped_s8", "nb_depthwise_conv_multiplier_s8",
        "nb_lookup_s8", "nb_add_s8", "nb_elementwise_s8", "nb_weighted_sum_s8",
    }  # fmt: skip


@pytest.mark.parametrize("pushed", [False, True])
def test_no_plan_overwrites_what_is_still_needed(pushed):
    """Also with the least memory, which has streams through joined maps wherever they can be."""
    streams = 0
    for seed in range(100):
        graph = read_graph(model(seed), "random")
        flow = join_flow(graph, lower_graph(graph))
        for kind, most_cost in (("layer", 0.0), ("auto", 0.0), ("auto", float("inf"))):
            try:
                segments, cost = Planner(flow, kind, pushed).smallest(most_cost)[1:]
            except DeployError:
                continue  # cannot be pushed
            schedule = arrange(flow, kind, segments, cost)
            assert plan_check.clobbered(flow, schedule) == [], (seed, kind, most_cost)
            streams += sum(
                bool(segment.batches and flow.places[flow.output(n)].parts)
                for segment in segments
                for n in range(segment.first, segment.last)
            )
    assert streams > 20
