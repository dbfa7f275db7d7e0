# SPDX-License-Identifier: Apache-2.0
"""What each process of test_distributed.py does; started with torchrun's environment variables.

Usage: python distributed_worker.py FOLDER [methods | die-at-step]
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import reproducible, seed_everything
from netbooster.data import DataConfig, Dataset, load_dataset
from netbooster.experiment.recipe import Recipe, parse_recipe
from netbooster.experiment.run import train
from netbooster.giant.expansion import ExpansionConfig, expand
from netbooster.models import build_model
from netbooster.tasks import Classification
from netbooster.training.checkpoint import RunStore
from netbooster.training.config import TrainConfig
from netbooster.training.distributed import World, join
from netbooster.training.loop import Trainer
from netbooster.training.phases import Phase

PHASES = (Phase("giant", 0, 3, lr=0.05), Phase("plt", 3, 3, lr=0.02, decay_steps=2))


def make_trainer(folder: Path | None, world: World, accumulate: int) -> Trainer:
    """A giant without dropout; both the processes and the reference train it."""
    dataset: Dataset = load_dataset(DataConfig(name="digits", resolution=32, channels=1))
    seed_everything(0)
    giant = expand(
        build_model("mobilenetv2-tiny", num_classes=10, resolution=32, channels=1),
        ExpansionConfig(ratio=2),
    )
    config = TrainConfig(
        steps=6,
        batch_size=16,
        accumulate=accumulate,
        log_every=2,
        checkpoint_every=2,
        checkpoint_seconds=0,
    )
    store = RunStore(folder, {"seed": 0}, read_only=not world.writes) if folder else None
    return Trainer(giant, dataset, config, task=Classification(), seed=3, store=store, world=world)


def method_recipes(accumulate: int) -> list[Recipe]:
    """One recipe of each way of training that many processes share.

    Their teacher and source are the same whatever ``accumulate`` is.
    """

    def make(name: str, method: str, **changes: Any) -> Recipe:
        train = {"steps": 2, "batch_size": 16, "threads": 1, "lr": 0.02, "accumulate": accumulate}
        content: dict[str, Any] = {
            "name": name,
            "method": method,
            "data": {"name": "digits", "resolution": 32, "channels": 1},
            "model": {"name": "mobilenetv2-tiny"},
            "train": train,
            "netbooster": {"giant_share": 0.5, "plt_lr": 0.01, "expansion": {"ratio": 2}},
        }
        content = content | changes
        if name in ("teacher", "source"):
            train["accumulate"] = 1
        return parse_recipe(content, name)

    teacher = make("teacher", "vanilla", route=2, seed=5).model_dump()
    source = make("source", "netbooster", seed=6).model_dump()
    return [
        make("routed", "vanilla", route=2),
        make("rco", "rco-kd", distillation={"teacher": teacher}),
        make("rocket", "rocket-launch", distillation={"teacher": teacher}),
        make("aug", "netaug", netaug={"bn_images": 32}),
        make("both", "netbooster-kd", distillation={"teacher": teacher}),
        make("tuned", "netbooster", transfer={"source": source}),
    ]


def first_step(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Loss sum and gradients of the first batch, which no step has followed yet."""
    trainer.model.train()
    trainer._network = trainer._wrapped()
    batches = trainer.dataset.sharded_batches(
        shard=(trainer.world.rank, trainer.world.size), batch_size=16, seed=3
    )
    optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.0)
    trainer._train_step(next(batches), optimizer)
    gradients = {n: p.grad for n, p in trainer.model.named_parameters() if p.grad is not None}
    return {**gradients, "loss": trainer._loss}


def kill_in_step(number: int) -> None:
    """Let this process die of SIGKILL in the middle of a step, while the other waits for it."""
    accumulate = Trainer._accumulate

    def killed(self: Trainer, *arguments: Any, **options: Any) -> None:
        if self.step == number:
            os.kill(os.getpid(), signal.SIGKILL)
        accumulate(self, *arguments, **options)

    setattr(Trainer, "_accumulate", killed)  # noqa: B010


def main() -> None:
    """Train in the given folder; rank 0 leaves gradients and final weights there."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    if sys.argv[2:] == ["methods"]:
        for recipe in method_recipes(1):
            train(recipe, folder / recipe.name)
        return
    die_at = int(sys.argv[2]) if len(sys.argv) > 2 else -1
    world = join(torch.device("cpu"))
    if world.rank == 1 and die_at >= 0:
        kill_in_step(die_at)
    if die_at < 0:
        torch.save(first_step(make_trainer(None, world, 1)), folder / f"step-{world.rank}.pt")
    trainer = make_trainer(folder / "run", world, 1)
    with reproducible(trainer.device, 1):
        trainer.resume()
        print(f"rank {world.rank} begins at step {trainer.step}", flush=True)
        for phase in PHASES:
            trainer.train_steps(phase)
    torch.save(trainer.model.state_dict(), folder / f"final-{world.rank}.pt")


if __name__ == "__main__":
    try:
        main()
    except NetBoosterError as error:
        sys.exit(f"error: {error}")
