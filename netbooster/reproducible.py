"""What makes a training repeat itself bit by bit: seeds and deterministic kernels."""

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
