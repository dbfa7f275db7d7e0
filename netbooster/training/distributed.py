# SPDX-License-Identifier: Apache-2.0
"""Many processes, one training: what `torchrun` starts and what each process does in it.

Every process works on its slice of each batch, so a run on n processes takes the same batches and
the same number of steps as a run on one. Gradients are averaged (DDP). The process of rank 0 is the
only one that writes or prints.
"""

import atexit
import io
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from netbooster.common.errors import EchoedError, NetBoosterError

#: How long the others wait while rank 0 evaluates or writes.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of the process on its machine: which GPU it takes."""

    @property
    def writes(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def distributed(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1

    def device(self, device: torch.device) -> torch.device:
        """This process's own device: ``"cuda"`` becomes the GPU of its number."""
        if self.distributed and device.type == "cuda" and device.index is None:
            return torch.device("cuda", self.local_rank)
        return device


def is_writer() -> bool:
    """Whether this process may print: every one but those of `torchrun` whose rank is not 0."""
    return os.environ.get("RANK", "0") == "0"


def check_device(device: str) -> torch.device:
    """The torch device behind a name.

    Raises:
        NetBoosterError: unknown, or not on this machine.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise NetBoosterError(f"device {device!r}: unknown; use cpu or cuda") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise NetBoosterError(f"device {device!r}: this machine has no usable GPU; use cpu")
    return found


def open_device(device: str) -> tuple[torch.device, World]:
    """This process's device, and the processes that `torchrun` started together with it.

    Raises:
        NetBoosterError: as :func:`check_device` and :func:`join`.
    """
    target = check_device(device)
    world = join(target)
    return world.device(target), world


def join(device: torch.device) -> World:
    """Meet the processes that `torchrun` started, if it started this one; cheap when repeated.

    Raises:
        NetBoosterError: `torchrun`'s variables are incomplete, or the others cannot be reached.
    """
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return World()
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        world = World(rank, size, int(os.environ.get("LOCAL_RANK", str(rank))))
        if not dist.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=_PATIENCE)
            # DDP says so of every 1x1 convolution in channels-last, whose strides are ambiguous.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            atexit.register(_leave)
            _explain_sigterm(world)
    except (ValueError, RuntimeError, KeyError) as error:
        raise NetBoosterError(
            f"torchrun: process {os.environ['RANK']} cannot join the others "
            f"({_one_line(error)}); start it with `torchrun --nproc-per-node N`"
        ) from error
    if device.type == "cuda":
        if world.local_rank >= torch.cuda.device_count():
            raise NetBoosterError(
                f"torchrun: process {rank} finds no GPU {world.local_rank}; start at most "
                f"{torch.cuda.device_count()} processes a machine (--nproc-per-node)"
            )
        torch.cuda.set_device(world.device(device))
    return world


def _explain_sigterm(world: World) -> None:
    """`torchrun` ends the other processes by SIGTERM when one has died: say what that means."""

    def stopped(number: int, frame: object) -> None:
        raise NetBoosterError(
            f"process {world.rank} of {world.size}: stopped by torchrun, as when another process "
            "has died; run the same command again to go on from the last checkpoint"
        )

    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, stopped)


def _leave() -> None:
    with suppress(RuntimeError):  # of connections to processes that have died
        if dist.is_initialized():
            dist.destroy_process_group()


def barrier(world: World) -> None:
    """Wait until every process is here."""
    if world.distributed:
        with lost_workers(world):
            dist.barrier()


def all_sum(world: World, value: Tensor) -> Tensor:
    """Sum of ``value`` over the processes, in every process; ``value`` itself stays."""
    if not world.distributed:
        return value
    total = value.clone()
    with lost_workers(world):
        dist.all_reduce(total)
    return total


def from_writer(world: World, value: Any) -> Any:
    """Rank 0's ``value``, in every process: plain values and tensors."""
    return on_writer(world, lambda: value)


def on_writer(world: World, produce: Callable[[], Any]) -> Any:
    """Run ``produce`` in rank 0 alone and give what it returns to every process.

    So files are read in one place: other machines need not have them.

    Args:
        produce: returns plain values and tensors.

    Raises:
        NetBoosterError: ``produce`` raised it (:class:`EchoedError` in the other processes).
    """
    if not world.distributed:
        return produce()
    answer: dict[str, Any] = {}
    failure: NetBoosterError | None = None
    if world.writes:
        try:
            answer = {"value": produce()}
        except NetBoosterError as error:
            failure, answer = error, {"error": str(error)}
    box: list[Any] = [_pack(answer)]
    with lost_workers(world):
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    if failure is not None:
        raise failure
    answer = answer if world.writes else _unpack(box[0])
    if "error" in answer:
        raise EchoedError(answer["error"])
    return answer["value"]


def gather(world: World, value: Any) -> list[Any]:
    """The ``value`` of every process by rank, in every process: plain values and tensors."""
    if not world.distributed:
        return [value]
    boxes: list[Any] = [None] * world.size
    with lost_workers(world):
        dist.all_gather_object(boxes, _pack(value))
    return [_unpack(box) for box in boxes]


def _pack(value: Any) -> bytes:
    # torch's own way of sending objects fails on tensors inside them
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _unpack(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


@contextmanager
def lost_workers(world: World) -> Iterator[None]:
    """Turn the errors of a broken connection into one line; others pass.

    Raises:
        NetBoosterError: another process has died.
    """
    try:
        yield
    except RuntimeError as error:
        signs = ("gloo", "nccl", "connection", "timed out", "peer", "socket")
        if not world.distributed or not any(sign in str(error).lower() for sign in signs):
            raise
        raise NetBoosterError(
            f"process {world.rank} of {world.size}: another process has died "
            f"({_one_line(error)[:120]}); its own message says why; run the same command again to "
            "go on from the last checkpoint"
        ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
