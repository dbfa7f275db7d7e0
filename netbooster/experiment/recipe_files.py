# SPDX-License-Identifier: Apache-2.0
"""Recipe files: files that build on others, and files whose rows are recipes.

A recipe's keys may lie in layers: ``extends`` names what is below, and a section named like a
profile (``mini``) what is laid over all, where the recipe is asked for as ``NAME@mini``. Sections
are merged key by key; any other value replaces the one below.

A table's file holds many recipes, ``TABLE/ROW``: each is ``[base]``, then the parts that the row
names, in order, then the row's own keys. ``[teachers]`` and ``[sources]`` hold recipes that rows
build on; these leave ``[base]`` out. A row that is ``same_as`` another has that one's recipe.
"""

import copy
import difflib
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from netbooster.common.errors import NetBoosterError

RECIPE_FOLDER = Path(__file__).parents[1] / "recipes"
PROFILES = ("mini",)
"""Sections that are laid over a recipe where its name asks for them."""
ROW_KEYS = ("group", "label", "reference", "paper_giant", "paper_final")
"""Keys of a row that say how its table is printed, and nothing of its recipe."""
_BUILT_ON = ("teachers", "sources")
_SECTIONS = ("title", "base", "parts", "rows", *_BUILT_ON)
_EITHER = ("steps", "epochs")
"""Keys of ``[train]`` of which a recipe has one: the last layer that sets either decides."""
NAMED = (("distillation", "teacher"), ("transfer", "source"))
"""Where a recipe names another."""


@dataclass(frozen=True)
class RecipeSource:
    """Where a recipe is written.

    Attributes:
        path: its file.
        row: its row, where the file is a table's.
        profile: what is laid over it, one of ``PROFILES``.
    """

    path: Path
    row: str | None = None
    profile: str | None = None

    def __str__(self) -> str:
        row = f"/{self.row}" if self.row else ""
        return f"{self.path}{row}" + (f"@{self.profile}" if self.profile else "")


def recipe_names() -> list[str]:
    """Names of the committed recipes that stand for themselves; rows are named ``table1/ROW``."""
    files = sorted(RECIPE_FOLDER.glob("*.toml"))
    return [path.stem for path in files if "rows" not in read_toml(path)]


def table_keys() -> list[str]:
    """Committed tables and figures, in the paper's order within each kind."""
    return sorted(p.stem for p in RECIPE_FOLDER.glob("*.toml") if "rows" in read_toml(p))


def find_recipe(name: str) -> RecipeSource:
    """The recipe behind a path or a committed name, either perhaps with ``/ROW`` and ``@mini``.

    Raises:
        NetBoosterError: there is none; says how recipes are named.
    """
    if Path(name).is_file():
        return _alone(RecipeSource(Path(name)), name)
    front, at, end = name.rpartition("@")
    if at and end not in PROFILES:
        raise NetBoosterError(f"{name}: no profile '{end}'; choose one of {_listed(PROFILES)}")
    whole, profile = (front, end) if at else (name, None)
    if file := _file(whole):
        return _alone(RecipeSource(file, None, profile), name)
    table, _, row = whole.rpartition("/")
    file = _file(table) if table else None
    if file and "rows" in read_toml(file):
        return RecipeSource(file, row, profile)
    raise NetBoosterError(
        f"{name}: no such recipe; give the path of a TOML file, one of the names "
        f"{_listed(recipe_names())}, or a table's row such as table1/mobilenetv2-tiny-vanilla, "
        "with @mini for its small variant"
    )


def read_recipe(source: RecipeSource) -> dict[str, Any]:
    """A recipe's content, all layers merged.

    Raises:
        NetBoosterError: unreadable, no such row or profile, or a circle of files.
    """
    while other := same_as(source):
        source = other
    content = _read(source, ())
    if source.row is not None:
        for key in ROW_KEYS:
            content.pop(key, None)
        content.setdefault("name", f"{source.path.stem}-{source.row}")
    return _with_profile(content, source, named=True)


def same_as(source: RecipeSource) -> RecipeSource | None:
    """The row that a row shares its recipe with, in the same profile; None where it has its own."""
    if source.row is None:
        return None
    row = _row(source, _read_table(source.path))
    name = row.get("same_as")
    if name is None:
        return None
    if extra := sorted(row.keys() - {*ROW_KEYS, "parts", "same_as"}):
        raise NetBoosterError(
            f"{source}: has the recipe of {name} by 'same_as'; remove its own key '{extra[0]}'"
        )
    other = find_recipe(f"{name}@{source.profile}" if source.profile else name)
    if other.row is not None and "same_as" in _row(other, _read_table(other.path)):
        raise NetBoosterError(f"{source}: 'same_as' names {name}, which has it, too; name its row")
    return other


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a table's file with those of their keys that say how the table is printed."""
    rows = {}
    for name in _read_table(path)["rows"]:
        content = _read(RecipeSource(path, name), ())
        rows[name] = {key: content[key] for key in ROW_KEYS if key in content}
    return rows


def read_toml(path: Path) -> dict[str, Any]:
    """A file's content as it is written.

    Raises:
        NetBoosterError: unreadable, or not TOML.
    """
    try:
        return copy.deepcopy(_parse(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problem = " ".join(str(error).split())
        raise NetBoosterError(f"{path}: cannot be read as TOML: {problem}") from error


@lru_cache(maxsize=32)
def _parse(text: str) -> dict[str, Any]:
    """A table's file is read once for each of its rows; parsing it is what takes long."""
    return tomllib.loads(text)


def lay_over(merged: dict[str, Any], content: dict[str, Any]) -> None:
    """Lay ``content`` over ``merged``, section by section; a length replaces the other kind's."""
    for key, value in content.items():
        if key in _EITHER:
            for other in _EITHER:
                merged.pop(other, None)
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            lay_over(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)


def anchor_paths(content: dict[str, Any], folder: Path) -> None:
    """Make relative paths of a recipe's content, and of those inside it, absolute.

    Args:
        folder: what they are relative to.
    """
    data = content.get("data")
    if isinstance(data, dict) and isinstance(data.get("root"), str):
        data["root"] = os.path.abspath(folder / Path(data["root"]).expanduser())
    for section, key in NAMED:
        inside = content.get(section)
        named = inside.get(key) if isinstance(inside, dict) else None
        if isinstance(inside, dict) and isinstance(named, str) and ".toml" in named:
            inside[key] = os.path.abspath(folder / named)
        elif isinstance(named, dict):
            anchor_paths(named, folder)


def _file(name: str) -> Path | None:
    """The file behind a path, or a committed one without its ``.toml``."""
    if Path(name).is_file():
        return Path(name)
    named = RECIPE_FOLDER / f"{name}.toml"
    inside = named.resolve().is_relative_to(RECIPE_FOLDER.resolve())
    return named if inside and named.is_file() else None


def _alone(source: RecipeSource, name: str) -> RecipeSource:
    """The source, whose file must not be a table's."""
    if "rows" in read_toml(source.path):
        first = next(iter(read_toml(source.path)["rows"]), "ROW")
        raise NetBoosterError(
            f"{name}: is a table; name one of its rows, such as {name.partition('@')[0]}/{first}, "
            f"or run all of them: netbooster table {name.partition('@')[0]}"
        )
    return source


def _read(source: RecipeSource, above: tuple[RecipeSource, ...]) -> dict[str, Any]:
    """All layers but the profile, whose section stays in the content."""
    here = RecipeSource(source.path.resolve(), source.row)
    if here in above:
        raise NetBoosterError(f"{source}: key 'extends' leads back to this file; break the circle")
    if source.row is None:
        file = read_toml(source.path)
        file.pop("title", None)
        return _layers(file, source, {}, (*above, here))
    file = _read_table(source.path)
    row, parts = _row(source, file), file.get("parts", {})
    merged: dict[str, Any] = {}
    if source.row in file["rows"]:
        lay_over(merged, _layers(file.get("base", {}), source, parts, (*above, here)))
    lay_over(merged, _layers(row, source, parts, (*above, here)))
    return merged


def _read_table(path: Path) -> dict[str, Any]:
    """A table's file, in which every section but ``[base]`` is one of sections."""
    file = read_toml(path)
    for key, section in file.items():
        inside = [section] if key == "base" else section
        inside = list(inside.values()) if isinstance(inside, dict) else inside
        if key == "title" and isinstance(section, str):
            continue
        if key not in _SECTIONS:
            raise NetBoosterError(
                f"{path}: unknown key '{key}'; {_nearest(key, _SECTIONS, 'keys')}"
            )
        if not isinstance(inside, list) or not all(isinstance(part, dict) for part in inside):
            raise NetBoosterError(f"{path}: key '{key}' takes sections; write [{key}.NAME]")
    return file


def _row(source: RecipeSource, file: dict[str, Any]) -> dict[str, Any]:
    """A row's own keys."""
    for section in ("rows", *_BUILT_ON):
        row = file.get(section, {}).get(source.row)
        if isinstance(row, dict):
            return row
    known = [name for section in ("rows", *_BUILT_ON) for name in file.get(section, {})]
    raise NetBoosterError(
        f"{source.path.stem} has no row '{source.row}'; {_nearest(str(source.row), known, 'rows')}"
    )


def _layers(
    section: dict[str, Any],
    source: RecipeSource,
    parts: dict[str, Any],
    above: tuple[RecipeSource, ...],
    names: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A section over what it extends and the parts that it names.

    Args:
        above: what is being read around it, to find circles.
        names: the parts around it.
    """
    own = {k: v for k, v in section.items() if k not in ("extends", "parts", "same_as")}
    merged: dict[str, Any] = {}
    for name in _names(section, "extends", source):
        below = _extended(name, source)
        content = _read(below, above)
        if below.row is not None:  # its name is its own
            content = {k: v for k, v in content.items() if k not in (*ROW_KEYS, "name")}
        lay_over(merged, _with_profile(content, below, named=False))
    for name in _names(section, "parts", source):
        if name in names:
            raise NetBoosterError(f"{source}: the part '{name}' names itself; break the circle")
        if not isinstance(parts.get(name), dict):
            hint = _nearest(name, list(parts), "parts")
            raise NetBoosterError(f"{source}: key 'parts' names '{name}', which is none; {hint}")
        lay_over(merged, _layers(parts[name], source, parts, above, (*names, name)))
    anchor_paths(own, source.path.parent)
    for profile in PROFILES:
        if isinstance(own.get(profile), dict):
            own[profile] = _layers(own[profile], source, parts, above, names)
    lay_over(merged, own)
    return merged


def _names(section: dict[str, Any], key: str, source: RecipeSource) -> list[str]:
    value = section.get(key, [])
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise NetBoosterError(f"{source}: key '{key}' takes a name or a list of names")
    return names


def _extended(name: str, source: RecipeSource) -> RecipeSource:
    """What ``extends`` names: a file beside, or a committed recipe where it has no ``.toml``."""
    if ".toml" not in name:
        return find_recipe(name)
    if not (source.path.parent / f"{name.partition('.toml')[0]}.toml").is_file():
        raise NetBoosterError(
            f"{source}: key 'extends' names {name}, which is not in {source.path.parent}"
        )
    return find_recipe(str(source.path.parent / name))


def _with_profile(content: dict[str, Any], source: RecipeSource, *, named: bool) -> dict[str, Any]:
    """The content with its source's profile laid over it, and without the profiles' sections.

    Args:
        named: whether the recipe's name shall say so.
    """
    sections = {name: content.pop(name, None) for name in PROFILES}
    if source.profile is None:
        return content
    section = sections[source.profile]
    if not isinstance(section, dict):
        raise NetBoosterError(
            f"{source}: has no profile '{source.profile}'; leave @{source.profile} out, or add a "
            f"section [{source.profile}]"
        )
    if named:
        section.setdefault("name", f"{source.profile}-{content.get('name', source.path.stem)}")
    lay_over(content, section)
    return content


def _nearest(name: str, known: Sequence[str], kind: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"{kind}: {_listed(known)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
