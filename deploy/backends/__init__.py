# SPDX-License-Identifier: Apache-2.0
"""What differs by core: weights, scratch, inner loops and their cost. One class a backend.

Nobody else asks which core it is: they ask :func:`backend_of` a target's core, or take what
:func:`by_backend` gives for all of them, because one generated C serves every core.
"""

from collections.abc import Callable

from deploy.backends.backend import (
    C_CHOICE,
    C_CONDITION,
    NULL,
    Backend,
    ByBackend,
    Costs,
    DepthwiseWindow,
    Product,
    Symbol,
    T,
)
from deploy.backends.portable import PORTABLE
from deploy.backends.v7em import V7EM

BACKENDS: tuple[Backend, ...] = (V7EM, PORTABLE)
"""All of them; the last one runs on every core."""

PLANNING = V7EM
"""The backend whose costs choose between schedules, which are the same for all cores."""


def backend_of(core: str) -> Backend:
    """The backend that a core's firmware runs.

    Args:
        core: as a target file names it.
    """
    return next((backend for backend in BACKENDS if core in backend.cores), PORTABLE)


def by_backend(ask: Callable[[Backend], T]) -> T | ByBackend[T]:
    """What the backends answer, as one generated C has it: one value where they agree."""
    fast, portable = ask(V7EM), ask(PORTABLE)
    return fast if fast == portable else ByBackend(fast, portable)


def most_scratch(ask: Callable[[Backend], int]) -> int:
    """The bytes of scratch that are enough for every backend: one plan serves all cores."""
    return max(ask(backend) for backend in BACKENDS)


def widening_cores() -> list[str]:
    """The cores on which int16 weights pay."""
    return [core for backend in BACKENDS if backend.widens_weights for core in backend.cores]


__all__ = [
    "BACKENDS",
    "C_CHOICE",
    "C_CONDITION",
    "NULL",
    "PLANNING",
    "PORTABLE",
    "V7EM",
    "Backend",
    "ByBackend",
    "Costs",
    "DepthwiseWindow",
    "Product",
    "Symbol",
    "backend_of",
    "by_backend",
    "most_scratch",
    "widening_cores",
]
