# SPDX-License-Identifier: Apache-2.0
"""Artifacts of training on disk: resume state, metrics, finished networks.

Everything is written through a temporary file and a rename, so a kill or a full disk at any moment
leaves the last good file. Finished networks hold no times and no paths: the same seed and data give
the same bytes.
"""

import hashlib
import io
import json
import os
import pickle
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import write_atomic

FORMAT = 1
_DAMAGE = (
    OSError, RuntimeError, EOFError, ValueError, KeyError, NotImplementedError,
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save_torch(path: Path, content: dict[str, Any]) -> None:
    """``torch.save`` that leaves the old file intact when it is killed or the disk is full.

    Raises:
        NetBoosterError: the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(path, buffer.getvalue())


def load_torch(path: Path, remedy: str) -> dict[str, Any]:
    """Read a file of :func:`save_torch` without running code from it, onto the CPU.

    Args:
        path: the file.
        remedy: what the user can do when it is unreadable, for the error.

    Raises:
        NetBoosterError: missing, damaged, of another kind, or of a newer format.
    """
    if not path.is_file():
        raise NetBoosterError(f"{path}: missing; {remedy}")
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise NetBoosterError(f"{path}: damaged or not written by netbooster; {remedy}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise NetBoosterError(f"{path}: not written by netbooster; {remedy}")
    if content["format"] != FORMAT:
        raise NetBoosterError(
            f"{path}: has format {content['format']}, this version reads {FORMAT}; {remedy}"
        )
    return content


def _check_sums(path: Path) -> None:
    """Compare every part of the archive with its CRC-32, which torch writes and never reads."""
    with zipfile.ZipFile(path) as archive:
        if (part := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{part} has another checksum")


def state_digest(state: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of a ``state_dict``, in hex."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def portable_state(model: nn.Module) -> dict[str, Tensor]:
    """The ``state_dict`` on the CPU, in torch's default memory format."""
    return copies(model.state_dict())


def copies(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a ``state_dict``, on the CPU, in torch's default memory format."""
    return {name: t.detach().cpu().contiguous().clone() for name, t in state.items()}


def load_state(model: nn.Module, state: dict[str, Tensor], path: Path, remedy: str) -> None:
    """Load a ``state_dict``, or say that it belongs to another network.

    Raises:
        NetBoosterError: a tensor is missing, unknown or of another shape.
    """
    own = model.state_dict()
    for name in [*own, *state]:
        if name not in own or name not in state:
            problem = f"tensor '{name}' is {'unknown' if name not in own else 'missing'}"
        elif own[name].shape != state[name].shape:
            problem = f"tensor '{name}' is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        else:
            continue
        raise NetBoosterError(f"{path}: holds another network: {problem}; {remedy}")
    model.load_state_dict(state)


def random_state() -> dict[str, Any]:
    """State of every random generator that training may draw from, as plain values."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (torch.from_numpy(np.asarray(keys).copy()), position, has_gauss, gauss),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put the generators back to a state of :func:`random_state`."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy(), position, has_gauss, gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


class RunStore:
    """The folder of one run: ``metrics.jsonl`` and ``checkpoint.pt``, always of one mind.

    A checkpoint remembers how long ``metrics.jsonl`` was, and opening the store cuts it back to
    that length: lines of steps that will be trained again are never doubled, and none is lost.
    """

    def __init__(
        self, directory: Path, identity: dict[str, Any], *, read_only: bool = False
    ) -> None:
        """Open a run's folder, which need not exist yet.

        Args:
            directory: the run's folder.
            identity: ``Recipe.identity``; checkpoints of another are refused.
            read_only: in all processes of a `torchrun` but the first, which writes for all.
        """
        self.directory = directory
        self.read_only = read_only
        self.identity = identity
        self.checkpoint_path = directory / "checkpoint.pt"
        self.metrics_path = directory / "metrics.jsonl"
        self.remedy = f"delete {directory} to train again, or choose another folder with --output"

    def load(self) -> dict[str, Any] | None:
        """The resume state, or None where none was written; cuts the metrics to it.

        Raises:
            NetBoosterError: the checkpoint is damaged or of another recipe.
        """
        if not self.read_only:
            for leftover in self.directory.glob(".*.pt.*"):  # a kill in the middle of writing
                leftover.unlink()
        if not self.checkpoint_path.is_file():
            self._cut_metrics(0)
            return None
        state = self.read()
        self._cut_metrics(state["metrics_bytes"])
        return state

    def read(self) -> dict[str, Any]:
        """The resume state of this recipe; changes nothing.

        Raises:
            NetBoosterError: missing, damaged or of another recipe.
        """
        state = load_torch(self.checkpoint_path, self.remedy)
        self.check_identity(state, self.checkpoint_path)
        return state

    def check_identity(self, content: dict[str, Any], path: Path) -> None:
        """Refuse what was trained from another recipe, naming the first key that differs.

        Raises:
            NetBoosterError: ``content["identity"]`` is not this store's.
        """
        if difference := _first_difference(content.get("identity"), self.identity):
            raise NetBoosterError(
                f"{path}: was trained by another recipe ({difference}); {self.remedy}"
            )

    def save(self, state: dict[str, Any]) -> None:
        """Write the resume state; the metrics written so far belong to it.

        Raises:
            NetBoosterError: the disk is full; the last checkpoint is intact.
        """
        if self.read_only:
            return
        size = self.metrics_path.stat().st_size if self.metrics_path.is_file() else 0
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "metrics_bytes": size,
            **state,
        }
        save_torch(self.checkpoint_path, content)

    def append(self, line: dict[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``.

        Raises:
            NetBoosterError: the disk is full.
        """
        if self.read_only:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self.metrics_path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise NetBoosterError(
                f"cannot write {self.metrics_path}: {error.strerror or error}; free space and run "
                "the same command again to go on from the last checkpoint"
            ) from error

    def _cut_metrics(self, size: int) -> None:
        if self.read_only:
            return
        if self.metrics_path.is_file() and self.metrics_path.stat().st_size > size:
            os.truncate(self.metrics_path, size)


def _first_difference(found: Any, wanted: Any, key: str = "") -> str:
    """``"train.lr is 0.1 there, 0.2 here"``, or nothing when both agree."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted({*found, *wanted}):
            inner = f"{key}.{name}" if key else str(name)
            if difference := _first_difference(found.get(name), wanted.get(name), inner):
                return difference
        return ""
    if found == wanted:
        return ""
    return f"{key or 'identity'} is {found!r} there, {wanted!r} here"
