# SPDX-License-Identifier: Apache-2.0
"""AdamW, AMP, EMA, accumulation: what they compute, and that resume stays bit-equal with them."""

import itertools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import reproducible, seed_everything
from netbooster.data import Batch, Dataset, Preprocess
from netbooster.giant.plt import DecayedActivation, set_alpha
from netbooster.tasks import Classification
from netbooster.training.averaging import WeightAverage
from netbooster.training.checkpoint import RunStore
from netbooster.training.config import TrainConfig
from netbooster.training.loop import Trainer
from netbooster.training.optimizers import make_optimizer, parameter_groups
from netbooster.training.phases import Phase

PHASES = (Phase("giant", 0, 4, lr=0.05), Phase("plt", 4, 5, lr=0.02, decay_steps=3))


class KilledError(Exception):
    """Stands for SIGKILL."""


class Noise(Dataset):
    """Random images whose brightness tells the class."""

    name = "noise"
    labels = ["dark", "bright"]
    preprocess = Preprocess(8, 1, (128.0,), (128.0,))

    def __init__(self, kill_at: int = -1) -> None:
        self.kill_at = kill_at

    def train_batches(
        self, *, batch_size: int, seed: int, start_step: int = 0, device: Any = None
    ) -> Generator[Batch, None, None]:
        for step in itertools.count(start_step):
            if step == self.kill_at:
                raise KilledError
            generator = torch.Generator().manual_seed(1000 * seed + step)
            images = torch.randint(0, 128, (batch_size, 1, 8, 8), generator=generator)
            labels = torch.randint(0, 2, (batch_size,), generator=generator)
            yield (images + 100 * labels[:, None, None, None]).to(torch.uint8), labels

    def split(self, name: str, **_: Any) -> Generator[Batch, None, None]:
        raise NotImplementedError

    def split_size(self, name: str) -> int:
        return 0

    def fingerprint(self) -> str:
        return "noise"


def network() -> nn.Module:
    seed_everything(5)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        DecayedActivation(nn.ReLU6()),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(4 * 36, 2),
    )


def make(folder: Path | None = None, kill_at: int = -1, **settings: Any) -> Trainer:
    keys: dict[str, Any] = {"log_every": 3, "checkpoint_every": 2, "checkpoint_seconds": 0}
    return Trainer(
        network(),
        Noise(kill_at),
        TrainConfig(steps=9, batch_size=8, **{**keys, **settings}),
        task=Classification(),
        seed=1,
        store=RunStore(folder, {"seed": 0}) if folder else None,
    )


def run(trainer: Trainer) -> Trainer:
    with reproducible(trainer.device, 1):
        trainer.resume()
        for phase in PHASES:
            trainer.train_steps(phase)
    return trainer


SETTINGS: list[dict[str, Any]] = [
    {"optimizer": "adamw", "weight_decay": 0.05, "ema_decay": 0.9},
    {"amp": "bfloat16", "accumulate": 3},
    {"amp": "float16", "optimizer": "adamw", "ema_decay": 0.5, "accumulate": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings))
@pytest.mark.parametrize("kill_at", [3, 4, 7])
def test_resume_is_bit_equal(tmp_path: Path, settings: dict[str, Any], kill_at: int) -> None:
    whole = run(make(tmp_path / "whole", **settings))
    with pytest.raises(KilledError):
        run(make(tmp_path / "cut", kill_at, **settings))
    torch.rand(7)
    resumed = run(make(tmp_path / "cut", **settings))
    for one, other in ((whole.model, resumed.model), (whole.result(), resumed.result())):
        for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b), name


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings))
def test_settings_change_the_weights(settings: dict[str, Any]) -> None:
    plain, changed = run(make()).result(), run(make(**settings)).result()
    assert not torch.equal(plain[5].weight, changed[5].weight)
    assert torch.isfinite(changed[5].weight).all()


def test_accumulated_gradients_are_the_mean_over_the_batch() -> None:
    trainer = make(accumulate=3)
    images, labels = next(Noise().train_batches(batch_size=8, seed=1))
    reference = network()
    reference[3] = nn.Identity()
    trainer.model[3] = nn.Identity()
    loss = torch.zeros(())
    for part, part_labels in zip(images.tensor_split(3), labels.tensor_split(3), strict=True):
        logits = reference(Noise.preprocess.normalize(part))  # BN sees one part at a time
        loss = loss + F.cross_entropy(logits, part_labels, reduction="sum", label_smoothing=0.1) / 8
    loss.backward()
    trainer._network = trainer._wrapped()
    optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.0)
    trainer._train_step((images, labels), optimizer)
    for ours, theirs in zip(trainer.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)
    assert trainer._loss.item() / 8 == pytest.approx(loss.item(), rel=1e-5)


def test_average_follows_its_formula_and_copies_alpha() -> None:
    model = network()
    average = WeightAverage(model, 0.75)
    expected = model[0].weight.detach().clone()
    for step in range(3):
        with torch.no_grad():
            model[0].weight.add_(1.0)
            model[1].running_mean.add_(1.0)
        set_alpha(model, (step + 1) / 3)
        model[1].num_batches_tracked += 1
        average.update(model)
        expected = 0.75 * expected + 0.25 * model[0].weight.detach()
    state = average.state_dict()
    torch.testing.assert_close(state["0.weight"], expected)
    assert state["1.running_mean"].tolist() == pytest.approx([1.26562] * 4, abs=1e-4)
    assert state["2.alpha"] == 1.0 and state["1.num_batches_tracked"] == 3


def test_average_begins_anew_with_each_phase_and_is_off_by_default() -> None:
    plain = make()
    assert plain.result() is plain.model
    trainer = make(ema_decay=0.999)
    trainer.train_steps(PHASES[0])
    before = trainer.model[5].weight.detach().clone()
    trainer.train_steps(Phase("plt", 4, 1, lr=0.02, decay_steps=0))
    averaged = trainer.result()
    torch.testing.assert_close(averaged[5].weight, before, rtol=0, atol=1e-4)
    assert averaged[2].get_alpha() == 1.0


def test_adamw_decays_weights_apart_from_gradients() -> None:
    model = network()
    config = TrainConfig(steps=1, optimizer="adamw", lr=0.1, weight_decay=0.5, betas=(0.8, 0.9))
    optimizer = make_optimizer(model, config)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)


def test_positions_and_class_token_do_not_decay() -> None:
    model = nn.Module()
    model.class_token = nn.Parameter(torch.zeros(1, 1, 4))
    model.encoder = nn.Module()
    model.encoder.pos_embedding = nn.Parameter(torch.zeros(1, 5, 4))
    model.head = nn.Linear(4, 2)
    decayed, others = parameter_groups(model, 0.05)
    assert [p.shape for p in decayed["params"]] == [model.head.weight.shape]
    assert len(others["params"]) == 3


def test_parts_need_an_image_each_and_sync_bn_needs_gpus() -> None:
    with pytest.raises(NetBoosterError, match=r"batch_size 8 is less than .*accumulate 9"):
        make(accumulate=9)
    with pytest.raises(NetBoosterError, match="sync_bn works on GPUs only"):
        make(sync_bn=True)


def test_skipped_images_are_counted_in_the_metrics(tmp_path: Path) -> None:
    class Broken(Noise):
        @property
        def skipped(self) -> dict[Path, str]:
            return {Path("a.png"): "broken"}

    trainer = make(tmp_path)
    trainer.dataset = Broken()
    trainer.train_steps(PHASES[0])
    assert '"skipped_images": 1' in (tmp_path / "metrics.jsonl").read_text()


def test_loss_sums_weigh_each_image_alike() -> None:
    whole, parts = make(), make(accumulate=4)
    for trainer in (whole, parts):
        trainer.model.eval()  # without BN and dropout the parts do not matter
        trainer._network = trainer._wrapped()
        batch: tuple[Tensor, Tensor] = next(Noise().train_batches(batch_size=8, seed=1))
        trainer._train_step(batch, torch.optim.SGD(trainer.model.parameters(), lr=0.0))
    assert whole._loss.item() == pytest.approx(parts._loss.item(), rel=1e-6)
    assert whole._count == parts._count == 8
