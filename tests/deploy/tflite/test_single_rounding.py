# SPDX-License-Identifier: Apache-2.0
"""One rounding behind ReLU gives the bytes of the reference's two, for every sum."""

import numpy as np
import pytest
import random_models
import target_runner
from tflite_builder import Builder

from deploy.backends import ByBackend
from deploy.codegen import plan_model
from deploy.tflite.single_rounding import OFFSET, SCALE, SHIFT, find_single_rounding

DEPTHWISE = {f"nb_depthwise_rows_{size}_{stride}" for size in (3, 5, 7) for stride in (1, 2)}
PRODUCTS = {"nb_gemm", "nb_gemm_2", *(f"nb_gemm_{n}" for n in range(4, 33, 4)),
            *(f"nb_gemm_{n}_2" for n in range(4, 33, 4))}  # fmt: skip


def reference(sums, multiplier, shift, maximum):
    """MultiplyByQuantizedMultiplier of the reference, zero point -128, clamped."""
    value = (sums * multiplier + 2**30) >> 31
    mask = (1 << shift) - 1
    rounded = (value >> shift) + ((value & mask) > (mask >> 1) + (value < 0))
    return np.clip(rounded - 128, -128, maximum)


def kernel(sums, entry, offset, maximum):
    """SMMLA, then SSAT, then the clamp."""
    scaled = SCALE * sums + int(entry[0])
    assert np.abs(scaled).max() < 2**31
    high = offset + ((scaled * int(entry[1])) >> 32)
    assert np.abs(high).max() < 2**31
    return np.clip(np.clip(high >> SHIFT, -128, 127), -128, maximum)


def find(rng, shifts, maximum=127, magnitude=2**22):
    multipliers = rng.integers(2**30, 2**31, len(shifts))
    bias = rng.integers(-(2**18), 2**18, len(shifts))
    sizes = np.full(len(shifts), magnitude)
    found = find_single_rounding(bias, sizes, multipliers, np.asarray(shifts), maximum)
    return found, multipliers, bias


@pytest.mark.parametrize("shift", range(3, 11))
def test_every_sum_gives_the_byte_of_the_reference(shift):
    rng = np.random.default_rng(shift)
    sums = np.arange(-(2**12), (256 << shift) * 2 + 5000)
    sums = np.concatenate([sums, rng.integers(-(2**22), 2**22, 2000)])
    compared = 0
    for _ in range(8):
        maximum = int(rng.choice([127, rng.integers(-127, 127)]))
        found, multipliers, bias = find(rng, [shift] * 3, maximum)
        if found is None:
            continue
        entries = found.table.astype(np.int64)
        for entry, multiplier, own in zip(entries, multipliers, bias, strict=True):
            # The sums have the bias in them; so has the table.
            entry = entry - np.array([SCALE * own, 0])
            wanted = reference(sums, int(multiplier), shift, maximum)
            assert np.array_equal(kernel(sums, entry, OFFSET + found.offset, maximum), wanted)
            compared += 1
    assert compared >= (24 if shift < 10 else 6)


def test_channels_of_a_layer_share_an_offset():
    rng = np.random.default_rng(1)
    found, *_ = find(rng, rng.integers(3, 9, 300))
    assert found is not None and found.table.shape == (300, 2)


def test_what_has_no_line_is_rounded_twice():
    rng = np.random.default_rng(2)
    assert find(rng, [2, 6])[0] is None  # a slope above 2**31
    assert find(rng, [14] * 30)[0] is None  # too few bits in the slope
    assert find(rng, [6], magnitude=2**23)[0] is None  # sums that overflow, scaled
    assert find(rng, [6], magnitude=2**23 - 2**16)[0] is not None


def test_the_same_input_gives_the_same_table():
    first, second = (find(np.random.default_rng(3), [5, 6, 9, 10])[0] for _ in range(2))
    assert first is not None and second is not None
    assert np.array_equal(first.table, second.table) and first.offset == second.offset


def models(seeds):
    return [
        random_models.single("behind_relu", np.random.default_rng([32, seed])) for seed in seeds
    ]


def inner_loops(data, **options):
    """The inner loops of a model's layers that round once."""
    layers = plan_model(data, name="random", **options).flow.layers
    loops = [getattr(layer.params, key, None) for layer in layers for key in ("gemm", "function")]
    names = [loop.fast.name for loop in loops if isinstance(loop, ByBackend)]
    return [name.removesuffix("_single") for name in names if name.endswith("_single")]


@pytest.mark.parametrize("build", ["host", "cortex-m4", "cortex-m7"])
def test_nets_that_round_once_equal_the_interpreter(build, tmp_path):
    target_runner.require(build)
    data = models(range(100))
    assert target_runner.run(build, data, np.random.default_rng(0), tmp_path, None) == "equal"
    names = {name for each in data for name in inner_loops(each)}
    assert names >= DEPTHWISE, sorted(names)


@pytest.mark.parametrize("build", ["host", "cortex-m4", "cortex-m7"])
def test_products_of_every_depth_equal_the_interpreter(build, tmp_path):
    """Nine pixels, two times four and one, in one rounding and in two."""
    target_runner.require(build)
    rng, data, names = np.random.default_rng(7), [], set()
    for depth in range(4, 42):
        for relu in (True, True, False):
            b = Builder()
            source = b.tensor((1, 3, 3, depth), 0.02, int(rng.integers(-128, 128)))
            output = random_models.pointwise(b, rng, source, relu=relu)
            data.append(b.build([source], [output]))
            if relu:
                names |= set(inner_loops(data[-1]))
    assert names >= PRODUCTS, sorted(PRODUCTS - names)
    assert target_runner.run(build, data, rng, tmp_path, None) == "equal"
