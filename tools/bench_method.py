#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NetBooster against vanilla training, at equal optimizer steps, over several seeds.

    python tools/bench_method.py --recipe glyphs --seeds 0 1 2 --out method.json
    python tools/bench_method.py --recipe glyphs --search tools/search_glyphs.toml --seeds 0

The first form reports on test images, the second tries a stated list of settings and looks at
validation images only. Each finished (setting, seed, method) is kept in the JSON file, so the same
command goes on after a kill; what is there is not trained again. On a GPU, where small networks
wait for the launch of kernels, ``--jobs`` trains several at once.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import statistics
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from netbooster.common.errors import NetBoosterError  # noqa: E402
from netbooster.common.files import write_atomic  # noqa: E402
from netbooster.data import Dataset, SplitName, load_dataset  # noqa: E402
from netbooster.experiment.recipe import Recipe, load_recipe  # noqa: E402
from netbooster.experiment.statistics import interval  # noqa: E402

METHODS = ("vanilla", "netbooster")
"""The methods that are compared."""
MOST_SETTINGS = 12


@dataclass(frozen=True)
class Setting:
    """A named list of recipe overrides."""

    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One method of one setting with one seed, trained by one process."""

    recipe: str
    overrides: tuple[str, ...]
    seed: int
    method: str
    split: SplitName
    device: str
    threads: int
    checkpoints: str | None

    def load(self) -> Recipe:
        """The recipe with this job's overrides, seed and method."""
        recipe = load_recipe(self.recipe, [*self.overrides, f"seed={self.seed}"])
        return recipe.with_method(self.method)

    def key(self) -> str:
        """What decides the result; settings that share one share its training."""
        recipe = self.load()
        digest = recipe.digest(_dataset(recipe.data.model_dump_json()).fingerprint())
        return f"{self.method}-{self.seed}-{self.split}-{digest[:16]}"


@lru_cache(maxsize=2)
def _dataset(config: str) -> Dataset:
    from netbooster.data import DataConfig

    return load_dataset(DataConfig.model_validate_json(config))


def run_job(job: Job) -> dict[str, Any]:
    """Train by one method in memory and measure it.

    Returns:
        ``accuracy`` (0..1 by split), ``giant`` (the same, of the giant), ``contraction_error``,
        ``steps``, ``seconds`` and the resolved recipe.
    """
    import torch

    from netbooster import methods
    from netbooster.common.seeds import reproducible
    from netbooster.experiment.run import fit
    from netbooster.tasks import load_task
    from netbooster.training.checkpoint import RunStore
    from netbooster.training.distributed import check_device
    from netbooster.training.evaluate import evaluate_splits

    recipe = job.load()
    dataset = _dataset(recipe.data.model_dump_json())
    device, task = check_device(job.device), load_task(recipe.task)
    training = methods.Job(recipe, dataset, task, device)
    splits: tuple[SplitName, ...] = ("train", job.split)
    store = None
    if job.checkpoints:
        identity = recipe.identity(dataset.fingerprint())
        store = RunStore(Path(job.checkpoints) / job.key(), identity)
    begun = time.monotonic()
    result: dict[str, Any] = {"method": job.method, "seed": job.seed, "split": job.split}

    def score(network: torch.nn.Module) -> dict[str, float]:
        return evaluate_splits(network, dataset, task=task, device=device, splits=splits)

    def measure_giant(phase: Any, giant: torch.nn.Module, extra: dict[str, Any]) -> None:
        result["giant"] = score(giant)
        if store is not None:
            write_atomic(store.directory / "giant.json", json.dumps(result["giant"]))

    with reproducible(device, job.threads):
        kept = fit(training, store=store, on_kept=measure_giant)()
        if "contraction_error" in kept.extra:
            result["contraction_error"] = kept.extra["contraction_error"]
            if "giant" not in result and store is not None:  # resumed after the giant's phase
                result["giant"] = json.loads((store.directory / "giant.json").read_text())
        result["accuracy"] = score(kept.network.to(device))
    result["seconds"] = round(time.monotonic() - begun, 1)
    result["steps"] = recipe.total_steps(dataset.split_size("train"))
    result["device"] = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    result["torch"] = torch.__version__
    result["recipe"] = recipe.model_dump(mode="json", exclude_none=True)
    return result


def run_jobs(jobs: Iterable[Job], out: Path | None, processes: int) -> dict[str, dict[str, Any]]:
    """Results by job key, from ``out`` where they are there, else trained and added to it."""
    wanted = {job.key(): job for job in jobs}
    stored = _read_results(out)
    missing = {key: job for key, job in wanted.items() if key not in stored}
    if len(missing) < len(wanted):
        print(f"{len(wanted) - len(missing)} of {len(wanted)} trainings are in {out}, kept")
    done = 0

    def keep(key: str, result: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        stored[key] = result
        if out is not None:
            content = {"format": 1, "results": stored}
            write_atomic(out, json.dumps(content, indent=1, sort_keys=True) + "\n")
        split = result["split"]
        print(
            f"[{done}/{len(missing)}] {result['method']} seed {result['seed']}: {split} "
            f"{result['accuracy'][split]:.2%}, train {result['accuracy']['train']:.2%}, "
            f"{result['seconds']:.0f} s",
            flush=True,
        )

    if processes == 1:
        for key, job in missing.items():
            keep(key, run_job(job))
        return stored
    # Spawned, because a forked process cannot use CUDA.
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        running = {pool.submit(run_job, job): key for key, job in missing.items()}
        try:
            for future in concurrent.futures.as_completed(running):
                keep(running[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return stored


def _read_results(out: Path | None) -> dict[str, dict[str, Any]]:
    if out is None or not out.is_file():
        return {}
    try:
        results: dict[str, dict[str, Any]] = json.loads(out.read_text())["results"]
    except (ValueError, KeyError, TypeError) as error:
        raise NetBoosterError(f"{out}: not a result file of this tool; choose another") from error
    return results


def read_search(path: Path) -> list[Setting]:
    """The settings of a search file: ``[[setting]]`` tables with ``name`` and ``set``.

    Raises:
        NetBoosterError: unreadable, or more than 12 settings.
    """
    try:
        tables = tomllib.loads(path.read_text())["setting"]
        settings = [Setting(str(table["name"]), tuple(table["set"])) for table in tables]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise NetBoosterError(
            f"{path}: needs [[setting]] tables with 'name' and 'set' ({error})"
        ) from error
    if not 1 <= len(settings) <= MOST_SETTINGS:
        raise NetBoosterError(
            f"{path}: {len(settings)} settings; a stated search has 1 to {MOST_SETTINGS}"
        )
    return settings


def print_report(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    split: str,
    find: dict[tuple[str, int, str], dict[str, Any]],
) -> None:
    """A line for each setting: accuracies in percent, and the paired difference in points."""
    print(f"\naccuracy in %, mean over {len(seeds)} seed(s) at equal optimizer steps, on {split}")
    width = max(len(setting.name) for setting in settings)
    print(
        f"{'setting':{width}}  vanilla  giant  boosted  boosted - vanilla (95%)   "
        "training: vanilla  giant  boosted"
    )
    for setting in settings:
        runs = {method: [find[setting.name, seed, method] for seed in seeds] for method in METHODS}

        def mean(method: str, which: str, part: str, runs: Any = runs) -> float:
            return 100 * statistics.fmean(run[part][which] for run in runs[method])

        pairs = zip(runs["netbooster"], runs["vanilla"], strict=True)
        difference, half = interval(
            [100 * (b["accuracy"][split] - v["accuracy"][split]) for b, v in pairs]
        )
        gap = f"{difference:+6.2f}" + (f" ± {half:.2f}" if len(seeds) > 1 else " (one seed)")
        print(
            f"{setting.name:{width}}  {mean('vanilla', split, 'accuracy'):7.2f}"
            f"  {mean('netbooster', split, 'giant'):5.2f}"
            f"  {mean('netbooster', split, 'accuracy'):7.2f}  {gap:24}"
            f"           {mean('vanilla', 'train', 'accuracy'):7.2f}"
            f"  {mean('netbooster', 'train', 'giant'):5.2f}"
            f"  {mean('netbooster', 'train', 'accuracy'):7.2f}"
        )
    if len(settings) == 1:
        print("by seed (boosted - vanilla, points):", end="")
        for seed in seeds:
            boosted, vanilla = (
                find[settings[0].name, seed, method] for method in ("netbooster", "vanilla")
            )
            gap_points = 100 * (boosted["accuracy"][split] - vanilla["accuracy"][split])
            print(f"  {seed}: {gap_points:+.2f}", end="")
        print()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="glyphs", help="name or path (default: glyphs)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="optimizer steps of each method")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--search", type=Path, metavar="FILE.toml", help="settings to try, on val")
    parser.add_argument("--split", choices=("val", "test"), help="default: test; a search: val")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once (default: 1)")
    parser.add_argument("--threads", type=int, help="CPU threads a training (default: its share)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keeps finished trainings")
    parser.add_argument("--checkpoints", metavar="DIR", help="resume inside a training, too")
    options = parser.parse_args(arguments)
    if options.search and options.split == "test":
        parser.error("a search looks at validation images only; leave --split out")
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    options.split = options.split or ("val" if options.search else "test")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 2 on bad input."""
    options = parse_arguments(arguments)
    common = list(options.overrides)
    if options.steps:
        common.append(f"train.steps={options.steps}")
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.jobs)
    try:
        settings = read_search(options.search) if options.search else [Setting("recipe", ())]
        plan: dict[tuple[str, int, str], Job] = {}
        for setting in settings:
            for seed in options.seeds:
                for method in METHODS:
                    plan[setting.name, seed, method] = Job(
                        recipe=options.recipe,
                        overrides=(*common, *setting.overrides),
                        seed=seed,
                        method=method,
                        split=options.split,
                        device=options.device,
                        threads=threads,
                        checkpoints=options.checkpoints,
                    )
        results = run_jobs(plan.values(), options.out, options.jobs)
        print_report(
            settings,
            options.seeds,
            options.split,
            {where: results[job.key()] for where, job in plan.items()},
        )
    except NetBoosterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
