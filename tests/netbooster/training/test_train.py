# SPDX-License-Identifier: Apache-2.0
"""The loop: resume is bit-equal, metrics are of one mind with checkpoints, failures are clear."""

import errno
import io
import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import reproducible, seed_everything
from netbooster.data import Dataset, Preprocess
from netbooster.giant.plt import DecayedActivation, get_alpha
from netbooster.tasks import Classification
from netbooster.training.checkpoint import RunStore, load_torch, save_torch
from netbooster.training.config import TrainConfig
from netbooster.training.evaluate import evaluate
from netbooster.training.loop import Trainer
from netbooster.training.optimizers import parameter_groups
from netbooster.training.phases import Phase
from netbooster.training.progress import Reporter

IDENTITY = {"seed": 0, "train": {"lr": 0.1}}
PHASES = (
    Phase("giant", 0, 8, lr=0.1, warmup_steps=2),
    Phase("plt", 8, 9, lr=0.05, decay_steps=4, lr_key="netbooster.plt_lr"),
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The networks are tiny, and a second thread would only wait for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class KilledError(Exception):
    """Stands for SIGKILL: nothing in the loop catches it."""


class Squares(Dataset):
    """Two classes told apart by the brightness of a corner; can raise at a given step."""

    name = "squares"
    labels = ["dark", "bright"]
    preprocess = Preprocess(8, 1, (128.0,), (128.0,))

    def __init__(self, kill_at: int = -1, sizes: dict[str, int] | None = None) -> None:
        self.kill_at = kill_at
        self.sizes = sizes or {"train": 40, "val": 30, "test": 300}

    def _batch(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 255, (count, 1, 8, 8), generator=generator).to(torch.uint8)
        labels = torch.randint(0, 2, (count,), generator=generator)
        images[:, :, :4, :4] = (labels * 200).to(torch.uint8)[:, None, None, None]
        return images, labels

    def train_batches(
        self, *, batch_size: int, seed: int, start_step: int = 0, device: Any = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        step = start_step
        while True:
            if step == self.kill_at:
                raise KilledError
            yield self._batch(batch_size, 1000 * seed + step)
            step += 1

    def split(
        self, name: str, *, limit: int | None = None, device: Any = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        count = min(self.split_size(name), limit or 10**9)
        if count:
            images, labels = self._batch(count, len(name))
            yield from zip(images.split(256), labels.split(256), strict=True)

    def split_size(self, name: str) -> int:
        return self.sizes[name]

    def fingerprint(self) -> str:
        return "squares"


def network() -> nn.Module:
    seed_everything(5)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        DecayedActivation(nn.ReLU6()),
        nn.Dropout(0.3),  # draws random numbers, which a resumed run must draw alike
        nn.Flatten(),
        nn.Linear(4 * 36, 2),
    )


def make_trainer(
    folder: Path | None,
    dataset: Squares | None = None,
    console: Console | None = None,
    **train: Any,
) -> Trainer:
    settings = {"log_every": 3, "checkpoint_every": 2, "checkpoint_seconds": 0, **train}
    return Trainer(
        network(),
        dataset or Squares(),
        TrainConfig(steps=17, batch_size=8, **settings),
        task=Classification(),
        seed=1,
        store=RunStore(folder, IDENTITY) if folder else None,
        reporter=Reporter(console),
    )


def train(trainer: Trainer) -> Trainer:
    with reproducible(trainer.device):
        trainer.resume()
        for phase in PHASES:
            trainer.train_steps(phase)
    return trainer


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return lines


def assert_same_bits(a: nn.Module, b: nn.Module) -> None:
    other = b.state_dict()
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("kill_at", [1, 3, 7, 8, 9, 12, 16])
@pytest.mark.parametrize("every", [1, 4])
def test_resume_is_bit_equal_wherever_it_was_killed(
    tmp_path: Path, kill_at: int, every: int
) -> None:
    whole = train(make_trainer(tmp_path / "whole", checkpoint_every=every))
    with pytest.raises(KilledError):
        train(make_trainer(tmp_path / "cut", Squares(kill_at), checkpoint_every=every))
    torch.rand(7)  # whatever else the process drew
    resumed = train(make_trainer(tmp_path / "cut", checkpoint_every=every))
    assert_same_bits(whole.model, resumed.model)
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")


def test_metrics_are_neither_doubled_nor_lost(tmp_path: Path) -> None:
    # Killed at 11, the last checkpoint is at 8 (a phase's end): the line of step 9 is cut off.
    with pytest.raises(KilledError):
        train(make_trainer(tmp_path, Squares(11), checkpoint_every=0))
    assert [line["step"] for line in metrics(tmp_path)] == [3, 6, 8, 9]
    trainer = make_trainer(tmp_path, checkpoint_every=0)
    trainer.resume()
    assert trainer.step == 8
    assert [line["step"] for line in metrics(tmp_path)] == [3, 6, 8]
    train(trainer)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [3, 6, 8, 9, 12, 15, 17]
    assert [line["phase"] for line in lines] == ["giant"] * 3 + ["plt"] * 4


def test_checkpoint_in_the_middle_of_a_line_keeps_its_sums(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(make_trainer(tmp_path / "cut", Squares(5), checkpoint_every=4))
    train(make_trainer(tmp_path / "cut", checkpoint_every=4))
    train(make_trainer(tmp_path / "whole"))
    cut, whole = metrics(tmp_path / "cut"), metrics(tmp_path / "whole")
    assert cut[1]["step"] == 6
    assert (cut[1]["loss"], cut[1]["accuracy"]) == (whole[1]["loss"], whole[1]["accuracy"])


def test_alpha_rises_evenly_then_stays_one(tmp_path: Path) -> None:
    trainer = train(make_trainer(tmp_path, log_every=1))
    alphas = [line["alpha"] for line in metrics(tmp_path)]
    assert alphas == [0.0] * 8 + [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert get_alpha(trainer.model) == 1.0


def test_alpha_is_one_after_a_decay_as_long_as_the_phase() -> None:
    trainer = make_trainer(None)
    trainer.train_steps(Phase("plt", 0, 3, lr=0.1, decay_steps=3))
    assert get_alpha(trainer.model) == 1.0


def test_learns_and_evaluates(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, eval_every=6)
    trainer.train_steps(Phase("vanilla", 0, 60, lr=0.05))
    result = evaluate(trainer.model, Squares(), "test", task=Classification())
    assert result.score > 0.95 and result.images == 300
    evaluated = [line["step"] for line in metrics(tmp_path) if "val_accuracy" in line]
    assert evaluated == list(range(6, 61, 6))


def test_evaluate_counts_over_batches_and_puts_the_mode_back() -> None:
    class Bright(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            corner = x[:, 0, 0, 0]
            return torch.stack([-corner, corner], dim=1)

    model = Bright().train()
    dataset = Squares()
    result = evaluate(model, dataset, "test", task=Classification())
    assert model.training
    assert (result.score, result.images) == (1.0, 300)
    # Corner pixels are 0 and 200, so the logit gaps are 2 and 2 * 72/128.
    labels = torch.cat([labels for _, labels in dataset.split("test")]).double()
    gaps = 2 - labels * (2 - 2 * 72 / 128)
    assert result.loss == pytest.approx(torch.log1p(torch.exp(-gaps)).mean().item(), rel=1e-6)
    assert evaluate(model, dataset, "test", task=Classification(), limit=7).images == 7


def test_empty_split_is_refused() -> None:
    empty = Squares(sizes={"train": 1, "val": 0, "test": 1})
    with pytest.raises(NetBoosterError, match="squares: split 'val' holds no image"):
        evaluate(network(), empty, "val", task=Classification())


def test_only_weights_decay() -> None:
    decayed, others = parameter_groups(network(), 4e-5)
    assert decayed["weight_decay"] == 4e-5 and others["weight_decay"] == 0
    assert sorted(p.ndim for p in decayed["params"]) == [2, 4]
    assert sorted(p.ndim for p in others["params"]) == [1, 1, 1]


def test_loss_that_is_not_finite_stops_and_names_phase_and_step(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.train_steps(PHASES[0])
    with torch.no_grad():
        trainer.model[0].weight.fill_(float("inf"))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(NetBoosterError, match=r"phase 'plt', step 9: the loss is nan.*plt_lr"):
        trainer.train_steps(PHASES[1])
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KilledError):
        train(make_trainer(tmp_path / "cut", Squares(5)))
    before = (tmp_path / "cut" / "checkpoint.pt").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("netbooster.common.files.os.fsync", full)
        with pytest.raises(NetBoosterError, match=r"checkpoint\.pt: No space left on device"):
            train(make_trainer(tmp_path / "cut"))
    assert (tmp_path / "cut" / "checkpoint.pt").read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == [
        "checkpoint.pt",
        "metrics.jsonl",
    ]
    resumed = train(make_trainer(tmp_path / "cut"))
    assert_same_bits(resumed.model, train(make_trainer(tmp_path / "whole")).model)


def test_limit_on_file_sizes_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    """A real refusal of the operating system in the middle of a write, not a pretended one."""
    with pytest.raises(KilledError):
        train(make_trainer(tmp_path, Squares(5)))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(NetBoosterError, match=r"checkpoint\.pt: File too large"):
            train(make_trainer(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "metrics.jsonl"]
    assert_same_bits(train(make_trainer(tmp_path)).model, train(make_trainer(None)).model)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_that_fills_up_leaves_the_last_checkpoint(small_disk: Path) -> None:
    with pytest.raises(KilledError):
        train(make_trainer(small_disk / "run", Squares(5)))
    before = (small_disk / "run" / "checkpoint.pt").read_bytes()
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1024))
    with pytest.raises(NetBoosterError, match="No space left on device"):
        train(make_trainer(small_disk / "run"))
    assert (small_disk / "run" / "checkpoint.pt").read_bytes() == before
    ballast.unlink()
    resumed = train(make_trainer(small_disk / "run"))
    assert_same_bits(resumed.model, train(make_trainer(None)).model)


def test_half_written_checkpoint_of_a_kill_is_swept_away(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(make_trainer(tmp_path, Squares(5)))
    (tmp_path / ".checkpoint.pt.x1y2").write_bytes(b"half")
    assert make_trainer(tmp_path).resume()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "metrics.jsonl"]


def test_checkpoint_of_another_recipe_names_the_key(tmp_path: Path) -> None:
    train(make_trainer(tmp_path))
    store = RunStore(tmp_path, {"seed": 0, "train": {"lr": 0.2}})
    with pytest.raises(NetBoosterError, match=r"train\.lr is 0\.1 there, 0\.2 here.*--output"):
        store.load()


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    train(make_trainer(tmp_path))
    trainer = make_trainer(tmp_path)
    trainer.model[5] = nn.Linear(4 * 36, 3)
    with pytest.raises(NetBoosterError, match=r"another network: tensor '5.weight' is \(2, 144\)"):
        trainer.resume()


@pytest.mark.parametrize("damage", ["cut", "text", "other"])
def test_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    train(make_trainer(tmp_path))
    path = tmp_path / "checkpoint.pt"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "text":
        path.write_text("hello")
    else:
        torch.save([1, 2], path)
    with pytest.raises(NetBoosterError, match=r"checkpoint\.pt: .*delete") as error:
        make_trainer(tmp_path).resume()
    assert "\n" not in str(error.value)


def test_a_flipped_byte_anywhere_in_the_weights_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_torch(path, {"format": 1, "weights": torch.arange(4000.0)})
    assert load_torch(path, "train again")["weights"][7] == 7
    good = path.read_bytes()
    for share in (0.2, 0.5, 0.8):
        content = bytearray(good)
        content[int(len(content) * share)] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(NetBoosterError, match=r"x\.pt: damaged .*train again"):
            load_torch(path, "train again")


def test_newer_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "x.pt")
    with pytest.raises(NetBoosterError, match="has format 99, this version reads 1"):
        load_torch(tmp_path / "x.pt", "update")


def test_says_what_it_skips_and_resumes(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(make_trainer(tmp_path, Squares(13)))
    out = io.StringIO()
    train(make_trainer(tmp_path, console=Console(file=out, force_terminal=False)))
    text = out.getvalue()
    assert "giant: finished at step 8, skipped" in text
    assert "plt: resuming from step 12" in text
    assert text.count("resuming") == 1
    assert "plt: 9/9 steps  loss" in text and "images/s" in text


def test_live_bar_shows_loss_and_rate() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    make_trainer(None, console=console).train_steps(PHASES[0])
    text = out.getvalue()
    assert "giant" in text and "loss" in text and "images/s" in text and "8/8 steps" in text


def test_channels_last_changes_only_rounding() -> None:
    fast, plain = (make_trainer(None, channels_last=flag) for flag in (True, False))
    for trainer in (fast, plain):
        trainer.model[3] = nn.Identity()  # dropout draws in memory order
        trainer.train_steps(Phase("vanilla", 0, 4, lr=0.05))
    for (name, a), b in zip(
        fast.model.state_dict().items(), plain.model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert a.shape == b.shape, name
