"""What the stages of one run share: recipe, run folder, target, and where each artifact lies."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.core.errors import DeployError
from deploy.run.planning import Planning

if TYPE_CHECKING:
    from deploy.targets import Target
    from netbooster.data import Dataset
    from netbooster.experiment.recipe import Recipe

MODELS = ("vanilla", "boosted")
METHODS_OF_MODELS = {"vanilla": "vanilla", "boosted": "netbooster"}
DEFAULT_TARGET = "mps2-an386"

RunFolder = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Run folder that `netbooster train` or `run` wrote."),
]
TargetOption = Annotated[
    str,
    typer.Option("--target", "-t", help="Board or machine; see `netbooster list targets`."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Only this model: vanilla or boosted. Default: both."),
]


@dataclass
class ModelPaths:
    """The artifacts of one model in a run folder; firmware and what it did, of one engine."""

    folder: Path
    engine: str = "nb"

    @property
    def name(self) -> str:
        """`vanilla` or `boosted`."""
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

    def firmware(self, target: str) -> Path:
        """Firmware for a target."""
        return self.folder / f"firmware-{target}{self._suffix}.elf"

    def sources(self, target: str) -> Path:
        """What that firmware was built from: generated C, or what wraps the interpreter."""
        if self.engine == "nb":
            return self.generated
        return self.folder / f"generated-{target}{self._suffix}"

    def build_json(self, target: str) -> Path:
        """Sizes and compiler of that firmware."""
        return self.folder / f"build-{target}{self._suffix}.json"

    def measurement(self, target: str) -> Path:
        """What the firmware did on the target."""
        return self.folder / f"measurement-{target}{self._suffix}.json"

    @property
    def _suffix(self) -> str:
        return "" if self.engine == "nb" else f"-{self.engine}"


@dataclass
class RunContext:
    """One run: its recipe, folder and target."""

    recipe: "Recipe"
    folder: Path
    target_name: str = DEFAULT_TARGET
    only: str | None = None
    force: bool = False
    device: str = "cpu"
    planning: Planning = field(default_factory=Planning)
    engine: str = "nb"

    @classmethod
    def open(
        cls, folder: Path, *, target: str = DEFAULT_TARGET, model: str | None = None
    ) -> "RunContext":
        """The run in an existing folder.

        Raises:
            DeployError: no run folder, or an unknown model.
        """
        from netbooster.experiment.recipe import load_recipe

        recipe = folder / "recipe.toml"
        if not recipe.is_file():
            raise DeployError(
                f"{folder} is no run folder (no recipe.toml in it); "
                f"make one with: netbooster train RECIPE --output {folder}"
            )
        loaded = load_recipe(str(recipe))
        if model is None and loaded.method is not None:
            model = model_of(loaded)
        context = cls(loaded, folder, target, model, force=True)
        context.check_model()
        return context

    def check_model(self) -> None:
        """Raises DeployError where the chosen model is unknown."""
        known = MODELS if self.recipe.method is None else (model_of(self.recipe),)
        if self.only is not None and self.only not in known:
            raise DeployError(f"unknown model '{self.only}'; choose one of: {', '.join(known)}")

    @cached_property
    def target(self) -> "Target":
        """The target's data."""
        from deploy.targets import load_target

        return load_target(self.target_name)

    @cached_property
    def dataset(self) -> "Dataset":
        """The recipe's data set."""
        from netbooster.data import load_dataset

        return load_dataset(self.recipe.data)

    @property
    def models(self) -> list[ModelPaths]:
        """The models that the command works on."""
        names = [self.only] if self.only else MODELS
        return [ModelPaths(self.folder / name, self.engine) for name in names]

    def recipe_of(self, model: str) -> "Recipe":
        """The recipe by which one of the run's models is trained."""
        return self.recipe.with_method(self.recipe.method or METHODS_OF_MODELS[model])

    def discard_training(self) -> None:
        """Delete what training wrote, so that it starts anew."""
        for paths in self.models:
            for name in ("checkpoint.pt", "giant.pt", "contracted.pt", "metrics.jsonl"):
                (paths.folder / name).unlink(missing_ok=True)

    def need(self, path: Path, stage: str) -> Path:
        """``path``, which an earlier stage wrote.

        Raises:
            DeployError: it is missing; names the command that writes it.
        """
        if not path.exists():
            command = f"netbooster {stage} {self.folder}"
            if stage in ("build", "measure"):
                command += f" --target {self.target_name}"
                if f"-{self.engine}." in path.name:
                    command += f" --engine {self.engine} --tflm-dir DIR"
            raise DeployError(f"{path} is missing; make it with: {command}")
        return path


def model_of(recipe: "Recipe") -> str:
    """Name of the model that a recipe with a method trains."""
    from netbooster.methods import find_method

    method = find_method(recipe.method or METHODS_OF_MODELS["boosted"])
    return "boosted" if method.grows else method.name
