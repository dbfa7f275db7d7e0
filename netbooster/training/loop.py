# SPDX-License-Identifier: Apache-2.0
"""The training loop: phases of optimizer steps that a kill does not lose.

A run is a list of phases. Steps are counted through the whole run, batch ``k`` of the data depends
on the seed and ``k`` alone, and every random state is in the checkpoint: a run that was killed and
resumed on the CPU ends with the bits of one that was not.
"""

import copy
import time
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import seed_everything
from netbooster.data import Dataset
from netbooster.giant.expanded import set_recompute
from netbooster.giant.plt import PLTSchedule, set_alpha
from netbooster.training.averaging import WeightAverage
from netbooster.training.checkpoint import RunStore, load_state, random_state, set_random_state
from netbooster.training.config import TrainConfig
from netbooster.training.distributed import (
    World,
    all_sum,
    from_writer,
    gather,
    lost_workers,
    on_writer,
)
from netbooster.training.evaluate import evaluate
from netbooster.training.objective import Objective, TaskLoss
from netbooster.training.optimizers import Precision, make_optimizer
from netbooster.training.phases import Phase
from netbooster.training.progress import Reporter
from netbooster.training.task import Outputs, Task


class Trainer:
    """A model in training: which step it is at, and everything needed to go on from there."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        config: TrainConfig,
        *,
        task: Task,
        seed: int,
        device: str | torch.device = "cpu",
        store: RunStore | None = None,
        reporter: Reporter | None = None,
        world: World | None = None,
        objective: Objective | None = None,
    ) -> None:
        """Take ``model`` over; it is moved to ``device``.

        Args:
            model: from normalized images ``[N, C, H, W]`` to the task's outputs.
            dataset: where the batches come from.
            config: the recipe's ``[train]``.
            task: what the outputs are compared by.
            seed: of the data stream.
            device: ``"cpu"``, ``"cuda"``.
            store: where checkpoints and metrics go; None keeps everything in memory.
            reporter: what shows the progress; None shows nothing.
            objective: what a step minimizes; None is the task's loss, smoothed as ``config``
                says.
            world: the processes that train together; None is this one alone.

        Raises:
            NetBoosterError: a process would have no image of a batch, or ``sync_bn`` off GPUs.
        """
        self.world = world if world is not None else World()
        self.device = torch.device(device)
        self.memory_format = (
            torch.channels_last
            if config.channels_last and self.device.type == "cpu"
            else torch.contiguous_format
        )
        _check_parts(config, self.world, self.device)
        if self.world.distributed and config.sync_bn:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if self.world.rank:  # processes must not drop out the same values
            seed_everything(seed + 1_000_003 * self.world.rank)
        self.model = model.to(self.device)
        set_recompute(self.model, config.recompute)
        if self.memory_format is torch.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.dataset = dataset
        self.config = config
        self.seed = seed
        self.store = store
        self.reporter = reporter if reporter is not None else Reporter()
        self.task = task
        self.objective = objective or TaskLoss(
            partial(task.loss, label_smoothing=config.label_smoothing)
        )
        self.step = 0
        self.seconds = 0.0
        self._loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._right = torch.zeros((), dtype=torch.float64, device=self.device)
        self._count = 0
        self._logged_at = 0.0
        self._alpha = 0.0
        self._optimizer: torch.optim.Optimizer | None = None
        self._optimizer_state: dict[str, Any] | None = None
        self._precision = Precision(config.amp, self.device)
        self._average = WeightAverage(self.model, config.ema_decay) if config.ema_decay else None
        self._network: nn.Module | None = None
        self._resumed = False
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Take up the store's checkpoint; whether there was one.

        Raises:
            NetBoosterError: the checkpoint is damaged, or of another recipe or network.
        """
        if (store := self.store) is None or (state := on_writer(self.world, store.load)) is None:
            return False
        load_state(self.model, state["model"], store.checkpoint_path, store.remedy)
        self.step, self.seconds, self._alpha = state["step"], state["seconds"], state["alpha"]
        self._optimizer_state = state["optimizer"]
        self._precision.load_state_dict(state["precision"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._resumed = True
        self._restore_process(state["processes"])
        return True

    def _restore_process(self, processes: list[dict[str, Any]]) -> None:
        """What each process had of its own; only the sums where their number has changed."""
        same = len(processes) == self.world.size
        mine = [processes[self.world.rank]] if same else processes if self.world.writes else []
        self._loss.fill_(sum(process["loss"] for process in mine))
        self._right.fill_(sum(process["right"] for process in mine))
        self._count = sum(process["count"] for process in mine)
        if mine:
            set_random_state(mine[0]["random"])

    def result(self) -> nn.Module:
        """The trained network: the averaged one where the recipe averages, else the model."""
        if self._average is None:
            return self.model
        averaged = copy.deepcopy(self.model)
        averaged.load_state_dict(self._average.state_dict())
        return averaged

    def train_steps(self, phase: Phase) -> None:
        """Train to the end of ``phase``; at once if that is reached.

        Raises:
            NetBoosterError: the loss is not finite, the disk is full, another process has died.
        """
        if self.step >= phase.end:
            self.reporter.say(f"{phase.name}: finished at step {phase.end}, skipped")
            return
        if self._resumed:
            self.reporter.say(f"{phase.name}: resuming from step {self.step}")
            self._resumed = False
        optimizer = self._optimizer = make_optimizer(self.model, self.config)
        if self._optimizer_state is not None and self.step > phase.first:
            optimizer.load_state_dict(self._optimizer_state)
        self._optimizer_state = None
        if self._average is not None and self.step == phase.first:
            self._average.restart(self.model)
        schedule = None if phase.decay_steps is None else PLTSchedule(phase.decay_steps)
        batches = self.dataset.sharded_batches(
            shard=(self.world.rank, self.world.size),
            batch_size=self.config.batch_size,
            seed=self.seed,
            start_step=self.step,
            device=self.device,
        )
        if self._network is None:
            self._network = self._wrapped()
        self.model.train()
        begun, seconds_before = time.monotonic(), self.seconds
        self._logged_at = self.seconds
        self._saved_at = begun
        with self.reporter.phase(phase.name, self.step - phase.first, phase.steps) as reporter:
            while self.step < phase.end:
                local = self.step - phase.first
                if schedule is not None:
                    self._set_alpha(schedule.alpha(local))
                rate = phase.learning_rate(local)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                self._train_step(next(batches), optimizer)
                self.step += 1
                if schedule is not None and self.step == phase.end:
                    self._set_alpha(schedule.alpha(phase.steps))
                self.seconds = seconds_before + time.monotonic() - begun
                log = self.step % self.config.log_every == 0 or self.step == phase.end
                if log or self.device.type == "cpu":
                    self._check_finite(phase, rate)
                if log:
                    self._log(phase, rate, reporter)
                self._checkpoint_if_due(phase)
        batches.close()  # ends the threads that load ahead
        self._optimizer = None
        if skipped := self.dataset.skipped:
            self.reporter.say(
                f"{phase.name}: {len(skipped)} unreadable images left out, first {min(skipped)}"
            )

    def _wrapped(self) -> nn.Module:
        """The forward pass of a step: with other processes, averaging gradients (DDP)."""
        step = _ForwardPass(self.model, self.objective)
        with lost_workers(self.world):
            ddp = nn.parallel.DistributedDataParallel
            return ddp(step) if self.world.distributed else step

    def _train_step(self, batch: tuple[Tensor, Tensor], optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        average = None if self._average is None else self._average.state_dict()
        self.objective.begin_step(self.model, self.step, average)
        parts = self.config.accumulate
        pairs = zip(batch[0].tensor_split(parts), batch[1].tensor_split(parts), strict=True)
        with lost_workers(self.world):
            for index, (images, targets) in enumerate(pairs):
                self._accumulate(images, targets, last=index == parts - 1)
        self._precision.step(optimizer)
        if self._average is not None:
            self._average.update(self.model)

    def _accumulate(self, images: Tensor, targets: Tensor, *, last: bool) -> None:
        """Add the gradients of a part of a batch; other processes' with the ``last`` part."""
        targets = targets.to(self.device)
        inputs = self.dataset.preprocess.normalize(images.to(self.device))
        inputs = inputs.contiguous(memory_format=self.memory_format)
        assert (network := self._network) is not None
        ddp = network if isinstance(network, nn.parallel.DistributedDataParallel) else None
        with nullcontext() if ddp is None or last else ddp.no_sync():
            with self._precision.forward():
                loss, outputs = network(inputs, targets, self.step)
            # DDP divides by the processes; the sum over all parts is the mean over the batch.
            share = len(images) * self.world.size / self.config.batch_size
            self._precision.backward(loss * share)
        # Sums stay on the device: reading them every step would stall a GPU.
        self._loss += loss.detach() * len(images)
        with torch.no_grad():
            self._right += self.task.right(outputs, targets)
        self._count += len(images)

    def _set_alpha(self, alpha: float) -> None:
        if alpha != self._alpha:
            set_alpha(self.model, alpha)
            self._alpha = alpha
            if self._average is not None:
                self._average.copy_rest(self.model)

    def _check_finite(self, phase: Phase, rate: float) -> None:
        if not torch.isfinite(self._loss).item():
            raise NetBoosterError(
                f"phase '{phase.name}', step {self.step}: the loss is {self._loss.item()}; lower "
                f"{phase.lr_key} (now {phase.lr:g}, {rate:g} at this step) or lengthen the warm-up"
            )

    def _log(self, phase: Phase, rate: float, reporter: Reporter) -> None:
        sums = torch.stack([self._loss, self._right, self._loss.new_tensor(self._count)])
        total, right, count = all_sum(self.world, sums).tolist()
        loss, score = total / count, right / count
        line: dict[str, Any] = {
            "phase": phase.name,
            "step": self.step,
            "loss": loss,
            self.task.metric: score,
            "lr": rate,
            "alpha": self._alpha,
            "seconds": round(self.seconds, 3),
        }
        every = self.config.eval_every
        # The evaluation belongs to the first line at or after its step.
        due = every and self.step % every < self.config.log_every and self.step >= every
        if due and self.world.writes:
            line[f"val_{self.task.metric}"] = evaluate(
                self.result(),
                self.dataset,
                "val",
                task=self.task,
                device=self.device,
                limit=self.config.eval_images,
                memory_format=self.memory_format,
            ).score
        if self.dataset.skipped:
            line["skipped_images"] = len(self.dataset.skipped)
        rate_shown = count / max(self.seconds - self._logged_at, 1e-9)
        self._logged_at = self.seconds
        reporter.update(self.step - phase.first, loss, score, rate_shown, self.task.metric)
        if self.store:
            self.store.append(line)
        self._loss.zero_()
        self._right.zero_()
        self._count = 0

    def _checkpoint_if_due(self, phase: Phase) -> None:
        if self.store is None:
            return
        every, seconds = self.config.checkpoint_every, self.config.checkpoint_seconds
        due = bool(every and self.step % every == 0) or self.step == phase.end
        if seconds and not due:
            waited = time.monotonic() - self._saved_at >= seconds
            if not self.world.distributed:
                due = waited
            elif self.step % self.config.log_every == 0:  # asking the others costs time
                due = from_writer(self.world, waited)
        if not due:
            return
        self._check_finite(phase, phase.lr)
        assert self._optimizer is not None
        mine = {
            "random": random_state(),
            "loss": self._loss.item(),
            "right": self._right.item(),
            "count": self._count,
        }
        self.store.save(
            {
                "phase": phase.name,
                "step": self.step,
                "seconds": self.seconds,
                "alpha": self._alpha,
                "processes": gather(self.world, mine),
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "precision": self._precision.state_dict(),
                "average": self._average.state_dict() if self._average is not None else None,
            }
        )
        self._saved_at = time.monotonic()


class _ForwardPass(nn.Module):
    """Model and objective as one module, so that DDP sees one forward pass before a backward pass,
    however often the objective runs the model."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, inputs: Tensor, targets: Tensor, step: int) -> tuple[Tensor, Outputs]:
        return self.objective(self.model, inputs, targets, step)


def _check_parts(config: TrainConfig, world: World, device: torch.device) -> None:
    if config.batch_size < world.size * config.accumulate:
        raise NetBoosterError(
            f"train.batch_size {config.batch_size} is less than {world.size} processes x "
            f"train.accumulate {config.accumulate}; raise it, so that each part has an image"
        )
    if config.sync_bn and device.type != "cuda":
        raise NetBoosterError("train.sync_bn works on GPUs only; use --device cuda or remove it")
