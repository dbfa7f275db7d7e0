# SPDX-License-Identifier: Apache-2.0
"""Changes to a recipe's content, key by key."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe_files import NAMED, anchor_paths, lay_over

Changes = Mapping[str, Any] | Sequence[str]
"""By dotted key, or as ``"section.key=value"`` with the value written as in TOML (a bare word is a
string). A section given as a mapping is laid over the one that is there; None removes a key."""


def apply_overrides(
    content: dict[str, Any], changes: Changes, load: Callable[[str], dict[str, Any]]
) -> None:
    """Change a recipe's content in place; the last change of a key decides.

    Args:
        content: sections of keys; a recipe inside it is a section or a name.
        load: the content of a recipe by its name, for keys inside it.

    Raises:
        NetBoosterError: a change is not of that form, or leads into no section.
    """
    for key, value in _pairs(changes):
        keys = key.split(".")
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", exclude_none=True)
        elif isinstance(value, Path):
            value = str(value)
        change: Any = value
        for part in reversed(keys):
            change = {part: change}
        anchor_paths(change, Path.cwd())
        _open_recipes(content, keys[:-1], load)
        section = content
        for part in keys[:-1]:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise NetBoosterError(f"key '{key}': '{part}' is not a section")
            change = change[part]
        if value is None:
            section.pop(keys[-1], None)
        else:
            lay_over(section, change)


def _pairs(changes: Changes) -> Iterator[tuple[str, Any]]:
    if isinstance(changes, str):
        raise NetBoosterError(f"{changes}: give a list of such changes, or a mapping")
    if isinstance(changes, Mapping):
        for key, value in changes.items():
            if not isinstance(key, str) or not all(key.split(".")):
                raise NetBoosterError(f"key {key!r}: write it as section.key")
            yield key, value
        return
    for change in changes:
        dotted, equals, text = change.partition("=")
        keys = [key.strip() for key in dotted.split(".")]
        if not equals or not all(keys):
            raise NetBoosterError(f"--set {change}: write it as section.key=value")
        yield ".".join(keys), _value(text)


def _value(text: str) -> Any:
    """A value written as in TOML, or else a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _open_recipes(
    content: dict[str, Any], keys: Sequence[str], load: Callable[[str], dict[str, Any]]
) -> None:
    """Put sections in place of the names of the recipes that ``keys`` lead through."""
    for section, key in NAMED:
        if tuple(keys[:2]) != (section, key):
            continue
        inside = content.get(section, {})
        named = inside.get(key) if isinstance(inside, dict) else None
        if named is None:
            raise NetBoosterError(
                f"key '{'.'.join(keys)}': the recipe has no {section}.{key}; name one before, "
                f"with {section}.{key}=RECIPE"
            )
        if isinstance(named, str):
            inside[key] = load(named)
        if isinstance(inside[key], dict):
            _open_recipes(inside[key], keys[2:], load)
