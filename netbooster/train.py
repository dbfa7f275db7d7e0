"""The training loop: phases of optimizer steps that a kill does not lose.

An arm is a list of phases. Steps are counted through the whole arm, batch ``k`` of the data depends
on the seed and ``k`` alone, and every random state is in the checkpoint: a run that was killed and
resumed on the CPU ends with the bits of one that was not.
"""

import ctypes
import math
import platform
import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.checkpoint import RunStore, load_state, set_random_state
from netbooster.data import Dataset
from netbooster.errors import NetBoosterError
from netbooster.evaluate import evaluate
from netbooster.linearization import PLTSchedule, set_alpha
from netbooster.progress import Reporter
from netbooster.recipe import Recipe, TrainConfig


@dataclass(frozen=True)
class Phase:
    """A stretch of steps with one optimizer and one learning-rate curve."""

    name: str
    first: int
    """Step of the arm at which the phase begins."""
    steps: int
    lr: float
    final_lr: float = 0.0
    warmup_steps: int = 0
    decay_steps: int | None = None
    """E_d in steps: alpha rises evenly to 1 within them (PLT); None leaves alpha alone."""

    @property
    def end(self) -> int:
        return self.first + self.steps

    def learning_rate(self, step: int) -> float:
        """At step 0..steps-1 of the phase: linear warm-up to ``lr``, then half a cosine."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.final_lr + (self.lr - self.final_lr) * (1 + math.cos(math.pi * share)) / 2


def vanilla_phases(recipe: Recipe, total: int) -> list[Phase]:
    """The baseline: one phase of ``total`` steps."""
    train = recipe.train
    return [Phase("vanilla", 0, total, train.lr, warmup_steps=round(train.warmup * total))]


def netbooster_phases(recipe: Recipe, total: int) -> list[Phase]:
    """The giant's training and PLT (section 4.1), ``total`` steps together.

    Raises:
        NetBoosterError: too few steps for two phases.
    """
    train, boost = recipe.train, recipe.netbooster
    giant = min(max(1, round(boost.giant_share * total)), total - 1)
    if giant < 1:
        raise NetBoosterError(
            f"recipe {recipe.name}: {total} step is too short for giant and PLT; raise train.steps"
        )
    tuning = total - giant
    return [
        Phase(
            "giant",
            0,
            giant,
            boost.giant_lr or train.lr,
            final_lr=boost.giant_final_lr,
            warmup_steps=round(train.warmup * giant),
        ),
        Phase(
            "plt",
            giant,
            tuning,
            boost.plt_lr,
            warmup_steps=round(boost.plt_warmup * tuning),
            decay_steps=round(boost.decay_share * tuning),
        ),
    ]


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

    By default every large tensor is mapped anew and the kernel clears its pages in every step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, (1 << 31) - 1)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of two or more dimensions decay; biases and the parameters of norms do not."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The recipe's optimizer; the loop sets the learning rate before each step."""
    return torch.optim.SGD(
        parameter_groups(model, config.weight_decay),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        fused=True,
    )


class Trainer:
    """A model in training: which step it is at, and everything needed to go on from there."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        config: TrainConfig,
        *,
        seed: int,
        device: str | torch.device = "cpu",
        store: RunStore | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        """Take ``model`` over; it is moved to ``device``.

        Args:
            model: logits ``[N, classes]`` from normalized images ``[N, C, H, W]``.
            dataset: where the batches come from.
            config: the recipe's ``[train]``.
            seed: of the data stream.
            device: ``"cpu"``, ``"cuda"``.
            store: where checkpoints and metrics go; None keeps everything in memory.
            reporter: what shows the progress; None shows nothing.
        """
        self.device = torch.device(device)
        self.memory_format = (
            torch.channels_last
            if config.channels_last and self.device.type == "cpu"
            else torch.contiguous_format
        )
        self.model = model.to(self.device)
        if self.memory_format is torch.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.dataset = dataset
        self.config = config
        self.seed = seed
        self.store = store
        self.reporter = reporter if reporter is not None else Reporter()
        self.step = 0
        self.seconds = 0.0
        self._loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._correct = torch.zeros((), dtype=torch.int64, device=self.device)
        self._count = 0
        self._logged_at = 0.0
        self._alpha = 0.0
        self._optimizer: torch.optim.Optimizer | None = None
        self._optimizer_state: dict[str, Any] | None = None
        self._resumed = False
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Take up the store's checkpoint; whether there was one.

        Raises:
            NetBoosterError: the checkpoint is damaged, or of another recipe or network.
        """
        state = self.store.load() if self.store else None
        if state is None or self.store is None:
            return False
        load_state(self.model, state["model"], self.store.checkpoint_path, self.store.remedy)
        self.step = state["step"]
        self.seconds = state["seconds"]
        self._loss.fill_(state["window"]["loss"])
        self._correct.fill_(state["window"]["correct"])
        self._count = state["window"]["count"]
        self._alpha = state["alpha"]
        self._optimizer_state = state["optimizer"]
        self._resumed = True
        set_random_state(state["random"])
        return True

    def train_steps(self, phase: Phase) -> None:
        """Train to the end of ``phase``; at once if that is reached.

        Raises:
            NetBoosterError: the loss is not finite, or the disk is full.
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
        schedule = None if phase.decay_steps is None else PLTSchedule(phase.decay_steps)
        batches = self.dataset.train_batches(
            batch_size=self.config.batch_size,
            seed=self.seed,
            start_step=self.step,
            device=self.device,
        )
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
        if isinstance(batches, Generator):
            batches.close()  # ends the threads that load ahead
        self._optimizer = None

    def _train_step(self, batch: tuple[Tensor, Tensor], optimizer: torch.optim.Optimizer) -> None:
        images, labels = batch
        labels = labels.to(self.device)
        inputs = self.dataset.preprocess.normalize(images.to(self.device))
        logits = self.model(inputs.contiguous(memory_format=self.memory_format))
        loss = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        # Sums stay on the device: reading them every step would stall a GPU.
        self._loss += loss.detach() * len(labels)
        self._correct += (logits.detach().argmax(1) == labels).sum()
        self._count += len(labels)

    def _set_alpha(self, alpha: float) -> None:
        if alpha != self._alpha:
            set_alpha(self.model, alpha)
            self._alpha = alpha

    def _check_finite(self, phase: Phase, rate: float) -> None:
        if not torch.isfinite(self._loss).item():
            key = {"vanilla": "train.lr", "giant": "netbooster.giant_lr"}.get(
                phase.name, "netbooster.plt_lr"
            )
            raise NetBoosterError(
                f"phase '{phase.name}', step {self.step}: the loss is {self._loss.item()}; lower "
                f"{key} (now {phase.lr:g}, {rate:g} at this step) or lengthen the warm-up"
            )

    def _log(self, phase: Phase, rate: float, reporter: Reporter) -> None:
        loss = self._loss.item() / self._count
        accuracy = self._correct.item() / self._count
        line: dict[str, Any] = {
            "phase": phase.name,
            "step": self.step,
            "loss": loss,
            "accuracy": accuracy,
            "lr": rate,
            "alpha": self._alpha,
            "seconds": round(self.seconds, 3),
        }
        every = self.config.eval_every
        # The evaluation belongs to the first line at or after its step.
        if every and self.step % every < self.config.log_every and self.step >= every:
            line["val_accuracy"] = evaluate(
                self.model,
                self.dataset,
                "val",
                device=self.device,
                limit=self.config.eval_images,
                memory_format=self.memory_format,
            ).accuracy
        rate_shown = self._count / max(self.seconds - self._logged_at, 1e-9)
        self._logged_at = self.seconds
        reporter.update(self.step - phase.first, loss, accuracy, rate_shown)
        if self.store:
            self.store.append(line)
        self._loss.zero_()
        self._correct.zero_()
        self._count = 0

    def _checkpoint_if_due(self, phase: Phase) -> None:
        if self.store is None:
            return
        every, seconds = self.config.checkpoint_every, self.config.checkpoint_seconds
        waited = time.monotonic() - self._saved_at
        due = (every and self.step % every == 0) or (seconds and waited >= seconds)
        if not due and self.step < phase.end:
            return
        self._check_finite(phase, phase.lr)
        assert self._optimizer is not None
        self.store.save(
            {
                "phase": phase.name,
                "step": self.step,
                "seconds": self.seconds,
                "alpha": self._alpha,
                "window": {
                    "loss": self._loss.item(),
                    "correct": int(self._correct.item()),
                    "count": self._count,
                },
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            }
        )
        self._saved_at = time.monotonic()
