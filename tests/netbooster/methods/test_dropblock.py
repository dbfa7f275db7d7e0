# SPDX-License-Identifier: Apache-2.0
"""DropBlock: squares, the right share, the mean kept, off in eval mode."""

from functools import partial

import pytest
import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.methods.dropblock import DropBlockConfig, DropBlockLoss, drop_blocks
from netbooster.models import build_model
from netbooster.tasks import Classification

SMOOTHED = partial(Classification().loss, label_smoothing=0.1)


@pytest.mark.parametrize(("size", "block"), [(14, 1), (14, 3), (14, 7), (5, 7)])
def test_share_and_mean_are_kept(size: int, block: int) -> None:
    torch.manual_seed(0)
    dropped = drop_blocks(torch.ones(64, 32, size, size), 0.1, block)
    share = (dropped == 0).float().mean().item()
    assert 0.07 < share <= 0.12  # squares may overlap, so it is a little less than asked
    assert dropped.mean().item() == pytest.approx(1, abs=1e-4)
    assert len(dropped.unique()) == 2


def test_what_is_dropped_are_squares() -> None:
    torch.manual_seed(1)
    gone = drop_blocks(torch.ones(200, 1, 9, 9), 0.02, 3) == 0
    assert gone.any()
    squares = nn.functional.max_pool2d(
        nn.functional.pad(
            (nn.functional.avg_pool2d(gone.float(), 3, stride=1) > 0.999).float(), (2,) * 4
        ),
        3,
        stride=1,
    )
    assert torch.equal(squares.bool(), gone)  # every dropped value is in a whole square


def test_probability_rises_and_eval_mode_is_untouched() -> None:
    torch.manual_seed(2)
    model = build_model("mobilenetv2-tiny", num_classes=3, resolution=64)
    keys = list(model.state_dict())
    x = torch.randn(4, 3, 64, 64)
    plain = model.eval()(x)
    config = DropBlockConfig(drop_prob=0.2, block_size=2, from_stride=16)
    objective = DropBlockLoss(model, config, x[:1], total_steps=10, loss=SMOOTHED)
    hooked = [i for i, block in enumerate(model.blocks) if block._forward_hooks]
    assert hooked == list(range(6, 17))  # strides 16 and 32
    assert list(model.state_dict()) == keys
    model.train()
    labels = torch.zeros(4, dtype=torch.int64)
    first, _ = objective(model, x, labels, 0)
    assert objective.drop_prob == 0
    again, _ = objective(model, x, labels, 0)
    assert first.item() == pytest.approx(again.item(), rel=1e-6)
    later, _ = objective(model, x, labels, 5)
    assert objective.drop_prob == pytest.approx(0.1)
    assert later.item() != again.item()
    fresh = build_model("mobilenetv2-tiny", num_classes=3, resolution=64)
    fresh.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(model.eval()(x), fresh.eval()(x))
    assert plain.shape == (4, 3)


def test_networks_without_blocks_are_refused() -> None:
    example = torch.zeros(1, 3, 64, 64)
    with pytest.raises(NetBoosterError, match="has no 'blocks'"):
        DropBlockLoss(nn.Linear(2, 2), DropBlockConfig(), example, total_steps=1, loss=SMOOTHED)
    model = build_model("mobilenetv2-tiny", num_classes=3, resolution=64)
    with pytest.raises(NetBoosterError, match="dropblock.from_stride 64: no block"):
        DropBlockLoss(model, DropBlockConfig(from_stride=64), example, total_steps=1, loss=SMOOTHED)
