# SPDX-License-Identifier: Apache-2.0
"""Damages models and gives them to the importer, in a process with limits of memory and time.

    python tests/deploy/fuzz.py --seed 2 --count 100000

Case ``number`` of a seed is the same bytes every time. The importer must answer a case with a
graph or with a DeployError of one line; anything else is a failure, and so is more than
``SECONDS`` or ``MEMORY`` bytes. What it accepts goes on through the planner and the C generator.
Failures are written to ``--keep`` as .tflite files; those that were fixed are in tests/data/fuzz,
which the tests read again.
"""

import argparse
import json
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_structure
import numpy as np
import random_models
import random_ops
from tflite_builder import FLOAT32, Builder

from deploy.codegen.emit import emit_files
from deploy.codegen.plan import make_plan
from deploy.core.errors import DeployError
from deploy.schedule import join_flow, plan_schedule
from deploy.tflite import lower_graph, read_graph

SECONDS = 10.0  # of processor time for one case; a usual one takes some milliseconds
MEMORY = 1 << 30  # bytes of address space more than at the start
# Planning plays a schedule row by row, so its time grows with the rows of all layers together.
MOST_ROWS = 20_000
WORDS = (0, 1, 2, 4, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE,
         0xFFFFFFFF)  # fmt: skip


class Hang(BaseException):
    """A case that takes too long; no ``except Exception`` may swallow it."""


@cache
def bases() -> tuple[bytes, ...]:
    """Sound models to damage: every operator alone, nets, float and uint8 borders."""
    found = []
    for number, kind in enumerate(sorted(random_models.SINGLE)):
        found.append(random_models.single(kind, np.random.default_rng([3, number])))
    for number in range(6):
        found.append(random_models.graph(np.random.default_rng([4, number])))
    found.append(random_models.chain(np.random.default_rng([5, 0])))
    found.append(_borders())
    for data in found:
        read_graph(data, "base")  # a base that is refused would teach nothing
    return tuple(found)


def _borders() -> bytes:
    """float32 in and out, beside uint8."""
    b, rng = Builder(), np.random.default_rng(6)
    real = b.tensor((1, 4, 4, 2), dtype=FLOAT32)
    inside = b.tensor((1, 4, 4, 2), 0.1, 3)
    b.operator("QUANTIZE", [real], [inside], "QuantizeOptions")
    other, converted = random_ops.quantize_uint8_input(b, rng, (1, 4, 4, 2))
    total = random_ops.binary(b, rng, "ADD", inside, converted)
    result = b.tensor((1, 4, 4, 2), dtype=FLOAT32)
    b.operator("DEQUANTIZE", [total], [result], "DequantizeOptions")
    return b.build([real, other], [result])


def damage_bytes(data: bytes, chooser: random.Random) -> bytes:
    """Bytes, bits and words changed; pieces cut out, doubled or moved; the end cut off."""
    result = bytearray(data)
    for _ in range(chooser.choice((1, 1, 2, 4, 16))):
        position = chooser.randrange(max(len(result), 1))
        kind = chooser.randrange(10)
        if kind < 2 and result:
            result[position] = chooser.randrange(256)
        elif kind < 4 and result:
            result[position] ^= 1 << chooser.randrange(8)
        elif kind < 7:
            word = chooser.choice(
                (*WORDS, chooser.getrandbits(32), len(data) + chooser.randrange(9))
            )
            position &= ~3
            result[position : position + 4] = word.to_bytes(4, "little")
        elif kind == 7:
            del result[position:]
        elif kind == 8:
            del result[position : position + chooser.randrange(1, 64)]
        else:
            start = chooser.randrange(max(len(result), 1))
            result[position:position] = result[start : start + chooser.randrange(1, 64)]
    return bytes(result)


def case(seed: int, number: int) -> bytes:
    """The bytes of one case."""
    chooser = random.Random(f"{seed}/{number}")
    data = bases()[chooser.randrange(len(bases()))]
    if chooser.random() < 0.4:
        data = fuzz_structure.damage(data, chooser)
        if chooser.random() < 0.8:
            return data
    return damage_bytes(data, chooser)


def import_model(data: bytes) -> str:
    """Read, lower, plan and generate; returns how far it came."""
    graph = read_graph(data, "fuzzed")
    flow = join_flow(graph, lower_graph(graph))
    if sum(place.height for place in flow.places) > MOST_ROWS:
        return "lowered"
    schedule = plan_schedule(flow, "layer", None, pushed=False)
    emit_files(flow, schedule, make_plan(flow, schedule))
    return "compiled"


@dataclass
class Result:
    """What became of the cases; ``failures`` are (number, reason)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slowest: float = 0.0


def _too_long(signum: int, frame: Any) -> None:
    raise Hang


def judge(data: bytes) -> tuple[str, str | None]:
    """(outcome, None), or ("failed", reason)."""
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        return import_model(data), None
    except DeployError as error:
        text = str(error)
        if "\n" in text or len(text) > 2000:
            return "failed", f"its message has {text.count(chr(10)) + 1} lines, {len(text)} bytes"
        return "refused", None
    except Hang:
        return "failed", f"more than {SECONDS} s"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return "failed", f"{type(error).__name__} at {where}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def limit_memory() -> None:
    """From here on at most ``MEMORY`` more bytes of address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def run(seed: int, count: int, keep: Path | None, report: Callable[[int, Result], None]) -> Result:
    """Judge ``count`` cases."""
    bases()
    limit_memory()
    signal.signal(signal.SIGVTALRM, _too_long)
    result = Result()
    for number in range(count):
        data = case(seed, number)
        begin = time.process_time()
        outcome, reason = judge(data)
        result.slowest = max(result.slowest, time.process_time() - begin)
        result.outcomes[outcome] += 1
        if reason is not None:
            result.failures.append((number, reason))
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"seed{seed}_{number}.tflite").write_bytes(data)
        if (number + 1) % 5000 == 0:
            report(number + 1, result)
    return result


def main() -> int:
    """The command; prints one line of JSON and ends with 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    begin = time.monotonic()

    def report(number: int, result: Result) -> None:
        seconds = time.monotonic() - begin
        text = f"[fuzz] {number}/{arguments.count}: {dict(result.outcomes)}, {seconds:.0f} s"
        print(text, file=sys.stderr, flush=True)

    result = run(arguments.seed, arguments.count, arguments.keep, report)
    print(
        json.dumps(
            {
                "seed": arguments.seed,
                "count": arguments.count,
                "outcomes": dict(sorted(result.outcomes.items())),
                "slowest_s": round(result.slowest, 3),
                "seconds": round(time.monotonic() - begin, 1),
                "failures": result.failures[:50],
            }
        )
    )
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
