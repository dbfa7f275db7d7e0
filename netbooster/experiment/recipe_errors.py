# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a recipe, in one line."""

import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any

import pydantic
from pydantic import BaseModel


def explain(error: pydantic.ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a recipe in one line, with the number of further ones.

    Args:
        model: what the recipe was checked against; its keys are the ones suggested.
    """
    problems = error.errors(include_url=False)
    # An unknown key explains a missing one (a misspelling), so it comes first.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    location = [part for part in problem["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(known)}"
        message = f"unknown key; {hint}"
    elif problem["type"] == "missing":
        message = "is missing; add it"
        if section := _known_keys(model, location):
            message += f" as a section with keys among {', '.join(section)}"
    else:
        message = _one_line(problem["msg"].removeprefix("Value error, "))
        if isinstance(problem["input"], str | int | float):
            message += f" (is {problem['input']!r})"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{f'key {key!r}' if key else 'recipe'}: {message}{more}"


def _is_branch(part: str | int) -> bool:
    """Whether a location part names a branch of a union and no key of the file."""
    return isinstance(part, str) and (not part.isidentifier() or part in ("int", "str", "float"))


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Keys allowed in the section at ``location``; empty where that is no section."""
    section: Any = model
    for part in location:
        fields = getattr(section, "model_fields", {})
        if part not in fields:
            return []
        section = fields[part].annotation
        if isinstance(section, types.UnionType) or typing.get_origin(section) is typing.Union:
            section = next(a for a in typing.get_args(section) if a is not type(None))
    return sorted(getattr(section, "model_fields", {}))


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
