"""What each process of test_distributed.py does; started with torchrun's environment variables.

Usage: python distributed_worker.py FOLDER [die-at-step]
"""

import os
import sys
from pathlib import Path

import torch

from netbooster.checkpoint import RunStore
from netbooster.data import DataConfig, Dataset, load_dataset
from netbooster.distributed import World, join
from netbooster.errors import NetBoosterError
from netbooster.expansion import ExpansionConfig, expand
from netbooster.models import build_model
from netbooster.recipe import TrainConfig
from netbooster.train import Phase, Trainer, reproducible, seed_everything

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
    return Trainer(giant, dataset, config, seed=3, store=store, world=world)


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


def main() -> None:
    """Train in the given folder; rank 0 leaves gradients and final weights there."""
    folder = Path(sys.argv[1])
    die_at = int(sys.argv[2]) if len(sys.argv) > 2 else -1
    torch.set_num_threads(1)
    world = join(torch.device("cpu"))
    if die_at < 0:
        torch.save(first_step(make_trainer(None, world, 1)), folder / f"step-{world.rank}.pt")
    trainer = make_trainer(folder / "arm", world, 1)
    with reproducible(trainer.device, 1):
        trainer.resume()
        print(f"rank {world.rank} begins at step {trainer.step}", flush=True)
        for phase in PHASES:
            trainer.train_steps(phase)
            if trainer.step == die_at and world.rank == 1:
                os._exit(9)
    torch.save(trainer.model.state_dict(), folder / f"final-{world.rank}.pt")


if __name__ == "__main__":
    try:
        main()
    except NetBoosterError as error:
        sys.exit(f"error: {error}")
