# SPDX-License-Identifier: Apache-2.0
"""A run's folder: where each artifact lies, and which runs a folder holds."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.run.selection import read_selection

if TYPE_CHECKING:
    from netbooster.data import Dataset
    from netbooster.experiment.recipe import Recipe

DEFAULT_TARGET = "mps2-an386"


@dataclass(frozen=True)
class RunPaths:
    """The artifacts of one network; firmware and what it did are apart by target and engine."""

    folder: Path

    @property
    def name(self) -> str:
        """What messages and the firmware call the network."""
        return self.folder.name

    @property
    def contracted(self) -> Path:
        """Float network in its original form."""
        return self.folder / "contracted.pt"

    @property
    def tflite(self) -> Path:
        """Int8 flatbuffer."""
        return self.folder / "model.tflite"

    @property
    def model_json(self) -> Path:
        """Preprocessing, labels, accuracies, hashes."""
        return self.folder / "model.json"

    @property
    def summary(self) -> Path:
        """Budget and training figures for the report."""
        return self.folder / "summary.json"

    @property
    def generated(self) -> Path:
        """Generated C and plan.json."""
        return self.folder / "generated"

    @property
    def host_library(self) -> Path:
        """The generated C, built for this machine."""
        return self.folder / "model-host.so"

    def firmware(self, target: str, engine: str = "nb") -> Path:
        """Firmware for a target."""
        return self.folder / f"firmware-{target}{_suffix(engine)}.elf"

    def sources(self, target: str, engine: str = "nb") -> Path:
        """What that firmware was built from: generated C, or what wraps the interpreter."""
        if engine == "nb":
            return self.generated
        return self.folder / f"generated-{target}{_suffix(engine)}"

    def build_json(self, target: str, engine: str = "nb") -> Path:
        """Sizes and compiler of that firmware."""
        return self.folder / f"build-{target}{_suffix(engine)}.json"

    def measurement(self, target: str, engine: str = "nb") -> Path:
        """What the firmware did on the target."""
        return self.folder / f"measurement-{target}{_suffix(engine)}.json"


def _suffix(engine: str) -> str:
    return "" if engine == "nb" else f"-{engine}"


@dataclass(frozen=True)
class Run(RunPaths):
    """One run: its folder and its recipe."""

    recipe: "Recipe"

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.toml"

    @cached_property
    def dataset(self) -> "Dataset":
        """The recipe's data set."""
        from netbooster.data import load_dataset

        return load_dataset(self.recipe.data)


def need(path: Path, command: str) -> Path:
    """``path``, which an earlier stage wrote.

    Raises:
        DeployError: it is missing; names the command that writes it.
    """
    if not path.exists():
        raise DeployError(f"{path} is missing; make it with: netbooster {command}")
    return path


def open_run(folder: Path) -> Run:
    """The one run in a folder.

    Raises:
        DeployError: it is no run folder.
        NetBoosterError: its recipe is damaged.
    """
    from netbooster.experiment.recipe import load_recipe

    file = folder / "recipe.toml"
    if not file.is_file():
        raise DeployError(
            f"{folder} is no run folder (no recipe.toml in it); "
            f"make one with: netbooster train RECIPE --output {folder}"
        )
    return Run(folder, load_recipe(str(file)))


def _member(folder: Path, method: str) -> Run:
    """A run of a comparison.

    Raises:
        DeployError: it is missing; says what trains it again.
    """
    if not (folder / method / "recipe.toml").is_file():
        raise DeployError(
            f"{folder}: its run {method}/ is missing; train it again with: netbooster train "
            f"{folder / 'recipe.toml'} --method {method} --output {folder / method}"
        )
    return open_run(folder / method)


def runs_in(folder: Path) -> list[Run]:
    """The runs that a folder stands for: itself, or those of a comparison.

    Raises:
        DeployError: it is no run folder, or a comparison whose training has not ended.
        NetBoosterError: a folder of an earlier layout, or a damaged recipe.
    """
    selection = read_selection(folder)
    if selection is not None:
        return [_member(folder, score.method) for score in selection.runs]
    from netbooster.experiment.run import check_layout
    from netbooster.methods import method_names

    check_layout(folder)
    begun = [name for name in method_names() if (folder / name / "recipe.toml").is_file()]
    if begun:
        raise DeployError(
            f"{folder}: the comparison of {', '.join(begun)} is not trained to its end; go on "
            f"with: netbooster run RECIPE --output {folder}, RECIPE and --methods as they were"
        )
    return [open_run(folder)]


def chosen_in(folder: Path) -> Run:
    """The run of a folder that is put forward: itself, or the selected one of a comparison.

    Raises:
        DeployError, NetBoosterError: see :func:`runs_in`.
    """
    selection = read_selection(folder)
    if selection is not None:
        return _member(folder, selection.method)
    return runs_in(folder)[0]
