"""Reading recipe files that build on others."""

import tomllib
from pathlib import Path
from typing import Any

from netbooster.common.errors import NetBoosterError

_EITHER = ("steps", "epochs")
"""Keys of ``[train]`` of which a recipe has one: the last file that sets either decides."""


def read_layers(path: Path, _above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The content of a recipe file, laid over the files that its ``extends`` names.

    Sections are merged key by key; any other value replaces the one below.

    Args:
        path: a TOML file; ``extends`` is relative to its folder.

    Raises:
        NetBoosterError: unreadable, not TOML, or a circle of files.
    """
    here = path.resolve()
    if here in _above:
        raise NetBoosterError(f"{path}: key 'extends' leads back to this file; break the circle")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problem = " ".join(str(error).split())
        raise NetBoosterError(f"{path}: cannot be read as TOML: {problem}") from error
    below = content.pop("extends", [])
    names = [below] if isinstance(below, str) else below
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise NetBoosterError(f"{path}: key 'extends' takes the name of a file or a list of them")
    merged: dict[str, Any] = {}
    for name in names:
        if not (path.parent / name).is_file():
            raise NetBoosterError(
                f"{path}: key 'extends' names {name}, which is not in {path.parent}"
            )
        _lay_over(merged, read_layers(path.parent / name, (*_above, here)))
    _lay_over(merged, content)
    return merged


def apply_override(content: dict[str, Any], override: str) -> None:
    """Set one key of a recipe's content, given as ``"section.key=value"``.

    Raises:
        NetBoosterError: not of that form, or the section is no section.
    """
    dotted, equals, text = override.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise NetBoosterError(f"--set {override}: write it as section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    section = content
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            raise NetBoosterError(f"--set {override}: '{key}' is not a section")
    section[keys[-1]] = value


def _lay_over(merged: dict[str, Any], content: dict[str, Any]) -> None:
    for key, value in content.items():
        if key in _EITHER:
            for other in _EITHER:
                merged.pop(other, None)
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            _lay_over(merged[key], value)
        else:
            merged[key] = value
