# SPDX-License-Identifier: Apache-2.0
"""Backends: which core runs which, and that every inner loop that they name is declared."""

import itertools
import re

import numpy as np
import pytest

from deploy.backends import (
    BACKENDS,
    NULL,
    PORTABLE,
    V7EM,
    ByBackend,
    DepthwiseWindow,
    Product,
    backend_of,
    by_backend,
    most_scratch,
    widening_cores,
)
from deploy.core.places import firmware_root
from deploy.targets import load_target, target_names

FIRMWARE = firmware_root() / "firmware"
HEADER = (FIRMWARE / "include" / "nb_kernels.h").read_text()
DECLARED = set(re.findall(r"\bnb_\w+\b", HEADER))


def products():
    for depth, fast, single, int16 in itertools.product(
        range(4, 90), (True, False), (True, False), (True, False)
    ):
        for pixels in (1, 4):
            yield Product(depth, fast, single, int16, pixels)


def windows():
    for height, width, stride, dilation in itertools.product(
        (1, 3, 4, 5, 7), (3, 5, 7), (1, 2, 3), (1, 2)
    ):
        yield DepthwiseWindow((height, width), stride, (dilation, 1))


def test_every_target_has_a_backend_and_every_backend_a_folder():
    cores = {load_target(name).core for name in target_names()}
    assert {backend_of(core) for core in cores} == set(BACKENDS)
    assert backend_of("cortex-m4") is backend_of("cortex-m7") is V7EM
    assert backend_of("cortex-m0plus") is backend_of("host") is PORTABLE
    assert widening_cores() == ["cortex-m4", "cortex-m7"]
    for backend in BACKENDS:
        assert (FIRMWARE / "kernels" / backend.name).is_dir()


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_inner_loops_are_declared(backend):
    named = {backend.product(product) for product in products()}
    named |= {backend.depthwise(w, single=s) for w in windows() for s in (True, False)}
    assert {symbol.name for symbol in named - {NULL}} <= DECLARED
    assert len(named) > (40 if backend is V7EM else 1)


def test_every_declared_loop_of_v7em_is_taken_by_some_shape():
    taken = {V7EM.product(product).name for product in products()}
    taken |= {V7EM.depthwise(w, single=s).name for w in windows() for s in (True, False)}
    loops = {
        name for name in DECLARED if re.match(r"nb_(gemm(_\d|_single|$)|depthwise_rows_)", name)
    }
    assert loops <= taken, loops - taken


def test_one_value_where_backends_agree():
    assert by_backend(lambda backend: 3) == 3
    product = Product(8, fast=True, single=False)
    assert by_backend(lambda backend: backend.product(product)) == ByBackend(
        V7EM.product(product), NULL
    )
    assert most_scratch(lambda b: b.product_scratch(10, pixels=4, gathered=True)) == 4 * 12 * 3
    assert most_scratch(lambda b: b.depthwise_scratch(5, 6)) == 8 * 5 * 6


def test_packed_weights_are_the_pairs_of_widened_pixels():
    rows = np.arange(16, dtype=np.int16).reshape(2, 8)
    assert V7EM.pack_weights(rows, 8).tolist() == [
        0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15,
    ]  # fmt: skip
    assert V7EM.pack_weights(rows, 5).tolist() == [0, 2, 1, 3, 4, 5, 8, 10, 9, 11, 12, 13]
    assert PORTABLE.pack_weights(rows, 5).tolist() == list(range(16))
    narrow = rows.astype(np.int8)
    assert V7EM.pack_weights(narrow, 5).tolist() == list(range(16))
