# SPDX-License-Identifier: Apache-2.0
"""Training that keeps the input of an expanded block alone and computes its maps again.

Activation checkpointing by ``torch.utils.checkpoint``: the block runs a second time in the backward
pass. The numbers are the same bits; BN must not count the batch twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_recomputed(block: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``forward(x)``, whose maps the backward pass computes again.

    Args:
        block: whose BNs ``forward`` runs.
    """
    result: Tensor = checkpoint(
        forward,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), statistics_kept(block)),
    )
    return result


@contextmanager
def statistics_kept(block: nn.Module) -> Iterator[None]:
    """Inside, the BNs of ``block`` move copies of their running statistics.

    Copies, because autograd has to see the same tensors saved as in the first run.
    """
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    try:
        with torch.no_grad():
            for norm in norms:
                for name, buffer in norm._buffers.items():
                    norm._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
