# SPDX-License-Identifier: Apache-2.0
"""A user's own network: an ``nn.Module`` in a Python file, with its weights."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch
from torch import nn

from deploy.core.errors import DeployError


def split_reference(text: str) -> tuple[Path, str] | None:
    """``FILE.py:NAME`` as its two parts; None where it is something else."""
    path, colon, name = text.rpartition(":")
    return (Path(path), name) if colon and path.endswith(".py") else None


def load_user_module(path: Path, name: str, weights: Path | None = None) -> nn.Module:
    """Run a Python file and take the network ``name`` from it, in eval mode.

    Args:
        path: the file; modules beside it can be imported by it.
        name: a module, or a class or function that makes one without arguments.
        weights: a state dictionary that ``torch.save`` wrote; loaded without running code.

    Raises:
        DeployError: one line that names the file and what is wrong with it.
    """
    if not path.is_file():
        raise DeployError(f"cannot read {path}: no such file")
    spec = importlib.util.spec_from_file_location(f"_netbooster_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DeployError(f"{path}: not a Python file")
    holder = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[spec.name] = holder  # dataclasses and pickle look there
    try:
        spec.loader.exec_module(holder)
        found = getattr(holder, name, None)
        model = found if isinstance(found, nn.Module) or found is None else found()
    except Exception as error:  # whatever the user's code raises
        raise DeployError(f"{path}: {name} cannot be made ({_line(error)})") from error
    finally:
        sys.path.pop(0)
        del sys.modules[spec.name]
    if model is None:
        raise DeployError(f"{path}: has no '{name}'; give FILE.py:NAME of a torch.nn.Module")
    if not isinstance(model, nn.Module):
        raise DeployError(f"{path}: {name} is a {type(model).__name__}, not a torch.nn.Module")
    if weights is not None:
        _load(model, weights)
    return model.eval()


def _load(model: nn.Module, weights: Path) -> None:
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]
        model.load_state_dict(state)
    except Exception as error:  # torch raises many kinds
        raise DeployError(
            f"{weights}: not the weights of this network ({_line(error)}); save them with "
            "torch.save(model.state_dict(), ...)"
        ) from error


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
