# SPDX-License-Identifier: Apache-2.0
"""The paper's tables: their rows, run over seeds, beside the paper's numbers.

``recipes/<key>.toml`` holds a table's rows and their recipes, named ``<key>/<row>``; with ``@mini``
it is the small variant on glyphs. Runs lie in ``<root>/seed<k>/<recipe>/``, so rows and tables that
name the same experiment, and the teachers and sources that several rows build on, share one run.
What is finished is kept.
"""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import is_claimed, write_atomic
from netbooster.experiment.recipe import Recipe, load_recipe
from netbooster.experiment.run import train
from netbooster.experiment.statistics import interval
from netbooster.experiment.table_rows import Row, Table, choose_rows
from netbooster.methods import find_method
from netbooster.training.checkpoint import load_torch
from netbooster.training.distributed import World, open_device

if TYPE_CHECKING:
    from rich.console import Console

FEWEST_STEPS = 2
"""NetBooster needs a step for each of its two phases."""


class Result(BaseModel):
    """What one run scored, accuracies 0..1 on the test split."""

    accuracy: float
    giant: float | None
    train_accuracy: float
    steps: int
    plt_lr: float | None
    """Peak learning rate of PLT, which the paper does not give; None without NetBooster."""


Results = dict[tuple[str, int], Result]
"""By a row's recipe and the seed."""

Planned = tuple[Row, int, Recipe]
"""A run of a table: row, seed, the row's recipe with that seed."""


def prepare_recipe(
    name: str,
    *,
    seed: int,
    scale: float = 1.0,
    overrides: Sequence[str] = (),
    data: Mapping[str, Path] | None = None,
) -> Recipe:
    """A row's recipe with a seed, and perhaps shortened; recipes that it builds on as well.

    Args:
        scale: factor on the length of every training, for a trial of the machinery.
        overrides: ``"section.key=value"``, for the row's recipe.
        data: folders by data set; those that the recipe does not use are left out.
    """
    recipe = load_recipe(name, overrides).with_seed(seed)
    if data:
        used = {part.data.name for _, part in recipe.within()}
        recipe = recipe.with_data({key: path for key, path in data.items() if key in used})
    return recipe if scale == 1.0 else _scaled(recipe, scale)


def run_table(
    table: Table,
    *,
    mini: bool,
    seeds: Sequence[int],
    root: Path,
    rows: Sequence[str] = (),
    scale: float = 1.0,
    overrides: Sequence[str] = (),
    data: Mapping[str, Path] | None = None,
    device: str = "cpu",
    console: "Console | None" = None,
    say: Callable[[str], None] = lambda text: None,
) -> Results:
    """Run what is not finished yet, seed by seed, so that an early look compares whole rows.

    Several processes may run one table at a time, or tables that share runs: each run is trained
    by one of them.

    After each run ``<root>/<key>.json`` holds all results so far. Under `torchrun` all processes
    call this; they share out each batch, and rank 0 writes.

    Args:
        rows: only these rows, by recipe; empty means all. A row's reference is not added.
        overrides: ``"section.key=value"``, for every row's recipe.
        data: folders by data set, for every row that uses it, and what it builds on.
        device: ``"cpu"`` or ``"cuda"``.
        console: where training shows its progress.
        say: called with one line for each run that begins.

    Returns:
        The results of these rows; none in processes of a `torchrun` other than rank 0.

    Raises:
        NetBoosterError: an unknown row, or what training raises; finished runs are kept.
    """
    chosen = choose_rows(table, rows)
    # All are read before anything is trained: a mistake in the last row is told now.
    plan = _plan(table, chosen, mini, seeds, scale, overrides, data)
    _refuse_unused(data or {}, table, [recipe for _, _, recipe in plan])
    _, world = open_device(device)
    known: Results = {}
    if world.writes:  # a part of the rows must not push the others out of the file
        fitting = [row for row in table.rows if row in chosen or _fits(table, row, mini, overrides)]
        whole = _plan(table, fitting, mini, seeds, scale, overrides, data)
        known = _finished(whole, root)
    results: Results = {}
    for number, (row, seed, recipe) in enumerate(_free_first(plan, root, world), 1):
        say(f"[{number}/{len(plan)}] {row.group}, {row.label}, seed {seed}")
        run_dir = _run_folder(root, seed, recipe)
        train(recipe, run_dir, device=device, console=console)
        if world.writes:
            result = read_result(recipe, run_dir)
            assert result is not None  # it has just been trained
            results[row.recipe, seed] = result
            save_results(table, {**known, **results}, root, mini=mini)
    return results


def _plan(
    table: Table,
    rows: Sequence[Row],
    mini: bool,
    seeds: Sequence[int],
    scale: float,
    overrides: Sequence[str],
    data: Mapping[str, Path] | None,
) -> list[Planned]:
    return [
        (row, seed, prepare_recipe(name, seed=seed, scale=scale, overrides=overrides, data=data))
        for seed in seeds
        for row in rows
        for name in [table.recipe_name(row, mini=mini)]
    ]


def _fits(table: Table, row: Row, mini: bool, overrides: Sequence[str]) -> bool:
    """Whether a row can be changed so; one that cannot has no results of such a change."""
    recipe = load_recipe(table.recipe_name(row, mini=mini))
    try:
        recipe.override(overrides)
    except NetBoosterError:
        return False
    return True


def _finished(plan: Sequence[Planned], root: Path) -> Results:
    results: Results = {}
    for row, seed, recipe in plan:
        result = read_result(recipe, _run_folder(root, seed, recipe))
        if result is not None:
            results[row.recipe, seed] = result
    return results


def _refuse_unused(data: Mapping[str, Path], table: Table, recipes: Sequence[Recipe]) -> None:
    used = {part.data.name for recipe in recipes for _, part in recipe.within()}
    for name in data:
        if name not in used:
            raise NetBoosterError(
                f"{table.key}: uses no data set '{name}'; it uses {', '.join(sorted(used))}"
            )


def _free_first(plan: Sequence[Planned], root: Path, world: World) -> Iterator[Planned]:
    """The plan in its order, but what another process trains at this moment comes last."""
    waiting = []
    for row, seed, recipe in plan:
        # The processes of a torchrun must keep one order, whatever each of them sees.
        busy = not world.distributed and is_claimed(_run_folder(root, seed, recipe))
        if busy:
            waiting.append((row, seed, recipe))
        else:
            yield row, seed, recipe
    yield from waiting


def _run_folder(root: Path, seed: int, recipe: Recipe) -> Path:
    return root / f"seed{seed}" / recipe.name


def finished_results(
    table: Table,
    *,
    mini: bool,
    seeds: Sequence[int],
    root: Path,
    rows: Sequence[str] = (),
    scale: float = 1.0,
    overrides: Sequence[str] = (),
    data: Mapping[str, Path] | None = None,
) -> Results:
    """Results of the runs that are finished; trains nothing."""
    plan = _plan(table, choose_rows(table, rows), mini, seeds, scale, overrides, data)
    _refuse_unused(data or {}, table, [recipe for _, _, recipe in plan])
    return _finished(plan, root)


def read_result(recipe: Recipe, run_dir: Path) -> Result | None:
    """What a finished run scored; None where it is not finished, or of another recipe."""
    path, stored = run_dir / "contracted.pt", run_dir / "recipe.toml"
    if not path.is_file() or not stored.is_file():
        return None
    if load_recipe(str(stored)).identity("") != recipe.identity(""):
        return None
    meta = load_torch(path, f"delete {run_dir} to train it again")
    giant = meta.get("giant_accuracy")
    return Result(
        accuracy=meta["accuracy"]["test"],
        giant=giant["test"] if giant else None,
        train_accuracy=meta["accuracy"]["train"],
        steps=meta["steps"],
        plt_lr=recipe.netbooster.plt_lr if _grows(recipe) else None,
    )


def _grows(recipe: Recipe) -> bool:
    return recipe.method is not None and find_method(recipe.method).grows


def save_results(table: Table, results: Results, root: Path, *, mini: bool) -> Path:
    """Write ``<root>/<key>.json``: per row the paper's numbers, and each seed's results."""
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        seeds = {str(s): r.model_dump() for (name, s), r in results.items() if name == row.recipe}
        if seeds:
            rows.append({**row.model_dump(), "seeds": seeds})
    path = root / f"{table.key}.json"
    content = {"format": 1, "table": table.key, "mini": mini, "rows": rows}
    write_atomic(path, json.dumps(content, indent=1) + "\n")
    return path


COLUMNS = (
    "network",
    "method",
    ">paper giant",
    ">giant",
    ">paper",
    ">final",
    ">paper gain",
    ">gain",
    ">train",
    ">steps",
    ">PLT lr",
    ">seeds",
)
"""Headings of :func:`format_rows`; a ``>`` marks a column of numbers."""


def format_rows(table: Table, results: Results) -> list[list[str]]:
    """The table as text, a list of cells for each row that has results.

    Accuracies are percents with the half width of their 95% t-interval over seeds. "gain" is the
    difference from the group's reference row in points, paired by seed.
    """
    lines = []
    for row in table.rows:
        own = _of_row(results, row)
        if not own:
            continue
        pairs = _gains(table, results, row)
        reference = table.reference(row)
        paper_gain = gain = ""
        if reference is not None:
            if row.paper_final is not None and reference.paper_final is not None:
                paper_gain = f"{row.paper_final - reference.paper_final:+.2f}"
            gain = _with_interval(pairs, "+.2f") if pairs else ""
        giants = [100 * r.giant for r in own.values() if r.giant is not None]
        rates = {r.plt_lr for r in own.values() if r.plt_lr is not None}
        lines.append(
            [
                row.group,
                row.label,
                _number(row.paper_giant),
                _with_interval(giants, ".2f") if giants else "",
                _number(row.paper_final),
                _with_interval([100 * r.accuracy for r in own.values()], ".2f"),
                paper_gain,
                gain,
                _number(100 * statistics.fmean(r.train_accuracy for r in own.values())),
                ", ".join(f"{n:,}" for n in sorted({r.steps for r in own.values()})),
                ", ".join(f"{rate:g}" for rate in sorted(rates)),
                _seed_list(own),
            ]
        )
    return lines


def pooled_gains(table: Table, results: Results) -> list[tuple[str, str, int]]:
    """Rows of one label in several groups together: (label, gain in points with its 95% t-interval
    over all pairs, how many pairs)."""
    pairs: dict[str, list[list[float]]] = {}
    for row in table.rows:
        if found := _gains(table, results, row):
            pairs.setdefault(row.label, []).append(found)
    together = {label: sum(own, []) for label, own in pairs.items() if len(own) > 1}
    return [(label, _with_interval(own, "+.2f"), len(own)) for label, own in together.items()]


def _gains(table: Table, results: Results, row: Row) -> list[float]:
    """Points by which a row is ahead of its group's reference, for each seed that both have."""
    reference = table.reference(row)
    if reference is None:
        return []
    own, theirs = _of_row(results, row), _of_row(results, reference)
    return [100 * (own[s].accuracy - theirs[s].accuracy) for s in own if s in theirs]


def _of_row(results: Results, row: Row) -> dict[int, Result]:
    return {seed: result for (name, seed), result in results.items() if name == row.recipe}


def _with_interval(values: Sequence[float], form: str) -> str:
    mean, half = interval(values)
    return format(mean, form) + ("" if math.isnan(half) else f" ± {half:.2f}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _seed_list(seeds: Iterable[int]) -> str:
    return " ".join(str(seed) for seed in sorted(seeds))


def _scaled(recipe: Recipe, scale: float) -> Recipe:
    if scale <= 0:
        raise NetBoosterError(f"scale {scale}: must be positive")
    lengths: dict[str, int | float] = {}
    for prefix, part in recipe.within():
        if part.train.steps is not None:
            lengths[f"{prefix}train.steps"] = max(FEWEST_STEPS, round(part.train.steps * scale))
        else:
            lengths[f"{prefix}train.epochs"] = (part.train.epochs or 0) * scale
    return recipe.override(lengths)
