# SPDX-License-Identifier: Apache-2.0
"""What a table consists of: its rows, the paper's numbers, and the recipes that are committed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic
from pydantic import BaseModel, ConfigDict

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe_errors import explain
from netbooster.experiment.recipe_files import (
    PROFILES,
    RECIPE_FOLDER,
    read_rows,
    read_toml,
    recipe_names,
    table_keys,
)


class Row(BaseModel):
    """One line of a table.

    Attributes:
        group: rows of a group are compared with each other: a network, perhaps on a data set.
        recipe: the row's name in the table's file.
        reference: whether the other rows of the group are compared with this one.
        paper_giant: the paper's accuracy of the expanded network, in percent.
        paper_final: the paper's accuracy in percent; None where it gives none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str
    label: str
    recipe: str
    reference: bool = False
    paper_giant: float | None = None
    paper_final: float | None = None


class Table(BaseModel):
    """A table of the paper, or a figure, or one of yours.

    Attributes:
        key: the name of its file, without ``.toml``.
        file: where that is; None for a committed one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    title: str
    rows: tuple[Row, ...]
    file: Path | None = None

    def recipe_name(self, row: Row, *, mini: bool) -> str:
        """Name of a row's recipe, for ``load_recipe``."""
        return f"{self.file or self.key}/{row.recipe}" + ("@mini" if mini else "")

    def reference(self, row: Row) -> Row | None:
        """What a row is compared with, None if that is itself."""
        for other in self.rows:
            if other.group == row.group and other.reference:
                return None if other == row else other
        return None


def load_table(name: str) -> Table:
    """A table by number ("1"), by key ("table1", "figure3"), or by the path of its file.

    Raises:
        NetBoosterError: there is no such table.
    """
    key = f"table{name}" if name.isdigit() else name
    path = RECIPE_FOLDER / f"{key}.toml"
    own = None
    if key not in table_keys():
        path = own = Path(name)
        if not path.is_file() or "rows" not in read_toml(path):
            raise NetBoosterError(
                f"no table '{name}'; choose one of {', '.join(table_keys())} (a number alone means "
                "a table; Table 3, object detection, is not part of this project), or give the "
                "path of a file with [rows]"
            )
    rows = []
    for row, keys in read_rows(path).items():
        try:
            rows.append(Row.model_validate({"recipe": row, **keys}))
        except pydantic.ValidationError as error:
            raise NetBoosterError(f"{path}/{row}: {explain(error, Row)}") from error
    title = read_toml(path).get("title", path.stem)
    return Table(key=path.stem, title=title, rows=tuple(rows), file=own)


def choose_rows(table: Table, names: Sequence[str]) -> list[Row]:
    """Rows by recipe; all where none is named.

    Raises:
        NetBoosterError: a name is none of the table's.
    """
    known = [row.recipe for row in table.rows]
    for name in names:
        if name not in known:
            raise NetBoosterError(f"{table.key} has no row '{name}'; rows: {', '.join(known)}")
    return [row for row in table.rows if not names or row.recipe in names]


@dataclass(frozen=True)
class ListedRecipe:
    """A committed recipe.

    Attributes:
        name: for ``load_recipe``.
        title: one line about it.
        profiles: what ``@`` can follow the name with.
    """

    name: str
    title: str
    profiles: tuple[str, ...] = ()


def list_recipes() -> list[ListedRecipe]:
    """All committed recipes: those that stand for themselves, then the tables' rows."""
    alone = [
        ListedRecipe(name, str(read_toml(RECIPE_FOLDER / f"{name}.toml").get("title", "")))
        for name in recipe_names()
    ]
    rows = [
        ListedRecipe(
            table.recipe_name(row, mini=False),
            f"{table.title.partition(':')[0]}: {row.group}, {row.label}",
            PROFILES,
        )
        for table in map(load_table, table_keys())
        for row in table.rows
    ]
    return alone + rows
