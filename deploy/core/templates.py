# SPDX-License-Identifier: Apache-2.0
"""Text from templates: generated C, libraries, pictures, the report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_MARKUP = (".html", ".svg")


def template_set(folder: Path, filters: dict[str, Callable[..., Any]] | None = None) -> Environment:
    """The templates of a room: ``template_set(folder).get_template("name.c.j2").render(...)``.

    A name that a template does not get is an error, a line with nothing but a block leaves nothing
    behind, and a template's last line break stays. What goes into HTML and SVG is escaped, by the
    template's name; what goes into other files is not.

    Args:
        folder: where they lie.
        filters: functions that they may use, by name.
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=_is_markup,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters or {})
    return environment


def _is_markup(name: str | None) -> bool:
    return name is not None and name.removesuffix(".j2").endswith(_MARKUP)
