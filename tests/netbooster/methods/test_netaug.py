# SPDX-License-Identifier: Apache-2.0
"""NetAug: what is shared, what is drawn, what is cut out."""

import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.data import DataConfig, load_dataset
from netbooster.methods.netaug import (
    NetAugConfig,
    NetAugLoss,
    NetAugNetwork,
    SlicedBatchNorm2d,
    SlicedConv2d,
    measure_bn,
)
from netbooster.models import build_model
from netbooster.tasks import Classification

SMOOTHED = partial(Classification().loss, label_smoothing=0.1)
CONFIG = NetAugConfig(width_factors=(1.0, 1.5), expansion_factors=(1.0, 2.0))


def base_network(name: str = "mobilenetv2-tiny") -> nn.Module:
    torch.manual_seed(3)
    return build_model(name, num_classes=4, resolution=32, channels=1)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(5))


def loss_of(config: NetAugConfig, steps: int = 8, epoch: int = 100) -> NetAugLoss:
    return NetAugLoss(config, seed=1, total_steps=steps, epoch_steps=epoch, loss=SMOOTHED)


def give_statistics(model: nn.Module) -> None:
    """BN statistics and weights that differ from channel to channel."""
    generator = torch.Generator().manual_seed(9)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))


@pytest.mark.parametrize("name", ["mobilenetv2-tiny", "mcunet-in3"])
def test_cut_out_network_is_the_slices_and_computes_the_same(name: str) -> None:
    base = base_network(name)
    wide = NetAugNetwork(base, NetAugConfig()).eval()
    give_statistics(wide)
    base_again = wide.cut_out().eval()
    assert type(base_again) is type(base)
    shapes = {name: tensor.shape for name, tensor in base.state_dict().items()}
    assert list(base_again.state_dict()) == list(shapes)
    whole = wide.network.state_dict()
    for key, tensor in base_again.state_dict().items():
        assert tensor.shape == shapes[key]
        assert torch.equal(tensor, whole[key][tuple(slice(size) for size in tensor.shape)])
    assert any(whole[key].shape != shapes[key] for key in shapes)
    with torch.no_grad():
        assert torch.allclose(base_again(images()), wide(images()), atol=1e-5)
        wide.set_random(torch.Generator().manual_seed(0), widths=True)
        assert not torch.allclose(base_again(images()), wide(images()), atol=1e-2)


def test_loss_and_gradient_are_those_of_both_networks() -> None:
    """Shared weights get the sum of both gradients; the rest only the augmented network's."""
    config = CONFIG.model_copy(update={"loss_weight": 0.5, "sort_channels": False})
    wide = NetAugNetwork(base_network(), config).train()
    labels = torch.tensor([0, 1, 2, 3])
    objective = loss_of(config, steps=1000)

    def gradients(loss: Tensor) -> dict[str, Tensor]:
        wide.zero_grad()
        loss.backward()
        return {n: p.grad.clone() for n, p in wide.named_parameters() if p.grad is not None}

    weight = "network.blocks.3.expand.conv.weight"
    shape = wide.base_shapes["blocks.3.expand.conv.weight"]
    step = 0
    while True:  # the first step whose augmented network is wider there
        wide.set_random(objective.generator(step), widths=True)
        if wide.network.blocks[3].expand.conv.active > shape[0]:
            break
        step += 1
    total, logits = objective(wide, images(), labels, step)
    both = gradients(total)
    wide.set_base()
    base_loss = F.cross_entropy(wide(images()), labels, label_smoothing=0.1)
    base = gradients(base_loss)
    wide.set_random(objective.generator(step), widths=True)
    augmented_loss = F.cross_entropy(wide(images()), labels, label_smoothing=0.1)
    augmented = gradients(augmented_loss)
    assert total.item() == pytest.approx(base_loss.item() + 0.5 * augmented_loss.item(), rel=1e-5)
    for name, gradient in both.items():
        expected = base[name] + 0.5 * augmented[name]
        assert torch.allclose(gradient, expected, atol=1e-5), name
    outside = base[weight].clone()
    outside[: shape[0], : shape[1]] = 0
    assert not outside.any() and base[weight].any() and augmented[weight][shape[0] :].any()
    assert torch.equal(logits.argmax(1), wide.cut_out().train()(images()).argmax(1))


def test_a_step_moves_only_the_base_networks_statistics() -> None:
    wide = NetAugNetwork(base_network(), CONFIG).train()
    base_again = wide.cut_out().train()
    loss_of(CONFIG.model_copy(update={"sort_channels": False}))(
        wide, images(), torch.tensor([0, 1, 2, 3]), 0
    )
    base_again(images())
    after = wide.cut_out().state_dict()
    for name, tensor in base_again.state_dict().items():
        assert torch.allclose(after[name].float(), tensor.float(), atol=1e-5), name


def test_every_listed_width_is_drawn_and_later_only_inner_ones() -> None:
    wide = NetAugNetwork(base_network(), CONFIG)
    objective = loss_of(CONFIG, steps=200)
    stem, expand = wide.network.stem.conv, wide.network.blocks[1].expand.conv
    assert isinstance(stem, SlicedConv2d) and isinstance(expand, SlicedConv2d)
    drawn: dict[bool, set[tuple[int, int]]] = {True: set(), False: set()}
    for step, widths in itertools.product(range(60), (True, False)):
        wide.set_random(objective.generator(step), widths=widths)
        drawn[widths].add((stem.active, expand.active))
        first = (stem.active, expand.active)
        wide.set_random(objective.generator(step), widths=widths)
        assert first == (stem.active, expand.active)  # depends on the step alone
    # Stem 16 x (1, 1.5); block 1 opens from 8 x (1, 1.5) channels by 6 x (1, 2).
    assert {stem for stem, _ in drawn[True]} == {16, 24}
    assert {inner for _, inner in drawn[True]} == {48, 72, 96, 144}
    assert drawn[False] == {(16, 48), (16, 96)}
    assert objective.width_steps == 100


def test_sorting_keeps_the_widest_network_and_moves_what_matters_most() -> None:
    wide = NetAugNetwork(base_network(), CONFIG).eval()
    give_statistics(wide)
    for module in wide.modules():  # the widest network is active
        if isinstance(module, SlicedConv2d):
            module.active = module.out_channels
    with torch.no_grad():
        before = wide(images())
        wide.sort_channels()
        assert torch.allclose(wide(images()), before, rtol=1e-3, atol=1e-3)
    for block in wide.network.blocks:
        if block.expand is not None:
            importance = block.project.conv.weight.abs().sum((0, 2, 3))
            assert (importance.diff() <= 1e-4).all()


def test_channels_are_sorted_once_an_epoch_in_the_first_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = NetAugNetwork(base_network(), CONFIG)
    objective = loss_of(CONFIG, steps=12, epoch=2)
    sorted_at = []
    monkeypatch.setattr(wide, "sort_channels", lambda average: sorted_at.append(step))
    for step in range(12):
        objective.begin_step(wide, step, None)
    assert sorted_at == [0, 2, 4]


def test_bn_statistics_are_measured_anew() -> None:
    dataset = load_dataset(DataConfig(name="glyphs", characters="0123", resolution=32, channels=1))
    model = base_network()
    give_statistics(model)
    measure_bn(model, dataset, 64, torch.device("cpu"))
    batch, _ = next(iter(dataset.split("train", limit=64)))
    seen: list[Tensor] = []
    model.stem.conv.register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        model(dataset.preprocess.normalize(batch))
    bn = model.stem.bn
    assert torch.allclose(bn.running_mean, seen[0].mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(bn.running_var, seen[0].var((0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert not model.training and bn.momentum == 0.1


def test_other_networks_and_factors_are_refused() -> None:
    with pytest.raises(NetBoosterError, match="netaug cannot widen Linear"):
        NetAugNetwork(nn.Linear(2, 2), CONFIG)
    with pytest.raises(NetBoosterError, match="must begin with 1"):
        NetAugNetwork(base_network(), NetAugConfig(width_factors=(2.0, 1.0)))


def test_sliced_bn_keeps_other_channels_statistics() -> None:
    bn = SlicedBatchNorm2d(4).train()
    bn(torch.randn(8, 2, 3, 3) + 5)
    assert bn.running_mean is not None
    assert (bn.running_mean[:2] > 0.1).all() and not bn.running_mean[2:].any()
    bn.moving = False
    before = bn.running_mean.clone()
    bn(torch.randn(8, 4, 3, 3) + 5)
    assert torch.equal(bn.running_mean, before)
