# SPDX-License-Identifier: Apache-2.0
"""What makes a training repeat itself bit by bit: seeds and deterministic kernels."""

import ctypes
import platform
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed torch, NumPy's global generator and ``random``."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def reproducible(device: torch.device, threads: int = 0) -> Iterator[None]:
    """Deterministic kernels on the CPU and the recipe's number of threads; undone at the end."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    settings: Any = torch.utils.deterministic
    fill = settings.fill_uninitialized_memory
    _keep_freed_memory()
    try:
        # On GPUs the deterministic kernels are slow or missing, so nothing is promised there.
        torch.use_deterministic_algorithms(before[0] or device.type == "cpu")
        # Filling every new tensor finds bugs in kernels; here it would only cost time.
        settings.fill_uninitialized_memory = False
        if threads:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        settings.fill_uninitialized_memory = fill
        torch.set_num_threads(before[1])


def _keep_freed_memory() -> None:
    """Let glibc reuse freed activations; other C libraries are left as they are.

    By default every large tensor is mapped anew and its pages are cleared by the kernel: on two
    cores that was a sixth of a training step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, (1 << 31) - 1)
