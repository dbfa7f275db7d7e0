"""Recipes: one TOML file an experiment, holding everything that a rerun needs.

A recipe is checked whole before anything runs: unknown keys, wrong types and values out of range
are one-line errors that name the file and the key. Shares are fractions of a phase's steps, so one
recipe scales from minutes to days by ``train.steps`` alone.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import write_atomic
from netbooster.data import DataConfig
from netbooster.experiment.overrides import Changes, apply_overrides
from netbooster.experiment.recipe_errors import explain
from netbooster.experiment.recipe_files import (
    RECIPE_FOLDER,
    RecipeSource,
    find_recipe,
    read_recipe,
    recipe_names,
)
from netbooster.experiment.recipe_sections import (
    CountOrNever,
    EmulateConfig,
    FineTuningConfig,
    ModelConfig,
    NetBoosterConfig,
    Positive,
    QuantizationConfig,
    Section,
    TrainConfig,
)
from netbooster.methods.config import (
    BOOSTED,
    DISTILLED,
    WITH_TEACHER,
    DropBlockConfig,
    Method,
    NetAugConfig,
    arm_of,
)
from netbooster.models import model_info

__all__ = [
    "RECIPE_FOLDER",
    "DataConfig",
    "DistillationConfig",
    "EmulateConfig",
    "FineTuningConfig",
    "ModelConfig",
    "NetBoosterConfig",
    "QuantizationConfig",
    "Recipe",
    "TrainConfig",
    "TransferConfig",
    "find_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_names",
    "save_recipe",
]

_loading: ContextVar[tuple[RecipeSource, ...]] = ContextVar("recipes being loaded", default=())
"""Sources of the recipes around the one that is loaded: a recipe names others inside it."""


class DistillationConfig(Section):
    """Knowledge distillation: whose answers a network learns beside the labels."""

    teacher: "Recipe | None" = None
    """Recipe of the teacher, by name or path; trained first where it is not yet, in a run folder
    beside the student's. For rocket-launch: the network that is trained together with the
    student; only the name of its network counts."""
    weight: Annotated[float, Field(gt=0, le=1)] = 0.9
    """alpha in (1 - alpha) * cross-entropy + alpha * distillation. The default and that of
    ``temperature`` are those of Tian et al. (2019), whom the paper follows on CIFAR-100."""
    temperature: Positive = 4.0
    correct_prob: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """tf-kd: what the teacher that is not there gives to the right class."""
    hint_weight: Positive = 0.03
    """rocket-launch: lambda of the squared distance between both networks' logits."""

    @pydantic.field_validator("teacher", mode="before")
    @classmethod
    def _load_teacher(cls, teacher: object) -> object:
        return _load_named(teacher)


class TransferConfig(Section):
    """Tuning on a target data set what was trained on a source data set (section 4.3)."""

    source: "Recipe"
    """Recipe of the source, by name or path; trained first where it is not yet, in a run folder
    beside. With NetBooster its giant is tuned by PLT, else its finished network is."""

    @pydantic.field_validator("source", mode="before")
    @classmethod
    def _load_source(cls, source: object) -> object:
        return _load_named(source)


class Recipe(Section):
    """A whole experiment.

    A file may begin with ``extends = "other.toml"`` (or a list of files, read in order), relative
    to itself: its own keys are laid over theirs.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    method: Method | None = None
    """How the recipe's one network is trained; absent: vanilla and NetBooster, side by side."""
    route: CountOrNever = 0
    """Points of the training at even distances whose weights are kept, the end included:
    the route along which rco-kd leads a student. Only networks that do not grow have one."""
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    netbooster: NetBoosterConfig = Field(default_factory=NetBoosterConfig)
    distillation: DistillationConfig | None = None
    netaug: NetAugConfig | None = None
    dropblock: DropBlockConfig | None = None
    transfer: TransferConfig | None = None
    quantization: QuantizationConfig = Field(default_factory=QuantizationConfig)
    emulate: EmulateConfig = Field(default_factory=EmulateConfig)

    @pydantic.model_validator(mode="after")
    def _network_fits_images(self) -> "Recipe":
        if problem := model_info(self.model.name).resolution_problem(self.data.resolution):
            raise ValueError(f"data.resolution does not suit {self.model.name}: {problem}")
        return self

    @pydantic.model_validator(mode="after")
    def _sections_fit_method(self) -> "Recipe":
        users: dict[str, tuple[str, ...]] = {
            "distillation": DISTILLED,
            "netaug": ("netaug",),
            "dropblock": ("dropblock",),
            "transfer": ("vanilla", "kd", *BOOSTED),
        }
        for section, methods in users.items():
            if getattr(self, section) is not None and self.method not in methods:
                raise ValueError(f"[{section}] needs 'method' to be one of {', '.join(methods)}")
        teacher = self.distillation.teacher if self.distillation else None
        if self.method in (*WITH_TEACHER, "rocket-launch") and teacher is None:
            raise ValueError(f"method '{self.method}' needs 'distillation.teacher', a recipe")
        if self.method == "rco-kd" and teacher is not None and teacher.route < 2:
            raise ValueError(
                f"method 'rco-kd' needs a teacher that keeps its route: set 'route' of the recipe "
                f"{teacher.name} to 2 or more"
            )
        for part in (teacher, self.transfer.source if self.transfer else None):
            if part is not None and part.method is None:
                raise ValueError(f"the recipe {part.name} has no 'method'; set one there")
        if self.transfer and (self.method in BOOSTED) != (self.transfer.source.method in BOOSTED):
            raise ValueError(
                f"method '{self.method}' cannot go on from {self.transfer.source.name}, whose "
                f"method is '{self.transfer.source.method}': a giant comes from a giant"
            )
        if self.method in BOOSTED and self.transfer and self.transfer.source.transfer:
            raise ValueError(
                f"{self.transfer.source.name} is tuned by PLT itself, which leaves no giant to go "
                "on from; name the recipe that trains the giant"
            )
        if self.route and (self.method is None or self.method in BOOSTED):
            raise ValueError("'route' needs a 'method' without expansion, such as vanilla")
        return self

    @property
    def arm(self) -> str:
        """The folder of the recipe's one network inside its run."""
        return arm_of(self.method)

    def dependencies(self) -> list["Recipe"]:
        """Recipes whose networks must be trained before this one's."""
        found = []
        if self.transfer is not None:
            found.append(self.transfer.source)
        if self.distillation is not None and self.method in WITH_TEACHER:
            assert self.distillation.teacher is not None  # checked when the recipe was read
            found.append(self.distillation.teacher)
        return found

    def within(self) -> Iterator[tuple[str, "Recipe"]]:
        """This recipe and all inside it, each with what its keys begin with in an override, such
        as ``"transfer.source."``."""
        yield "", self
        parts = {
            "distillation.teacher.": self.distillation.teacher if self.distillation else None,
            "transfer.source.": self.transfer.source if self.transfer else None,
        }
        for key, part in parts.items():
            for prefix, inner in part.within() if part is not None else ():
                yield key + prefix, inner

    def override(self, changes: Changes) -> "Recipe":
        """A copy with some keys changed, checked as a file is.

        ``recipe.override({"train.steps": 200})`` or ``recipe.override(["train.steps=200"])``. Keys
        lead into recipes inside this one (``transfer.source.train.epochs``). ``train.steps`` takes
        the place of ``train.epochs``, and the other way round. Relative paths mean the working
        directory.

        Args:
            changes: values by dotted key, or ``"section.key=value"`` with the value written as in
                TOML (a bare word is a string). A mapping is laid over the section that is there;
                None takes a key back to its default. The last change of a key decides.

        Raises:
            NetBoosterError: one line naming the key and what is allowed.
        """
        content = _dump(self)
        try:
            apply_overrides(content, changes, lambda name: _dump(load_recipe(name)))
        except NetBoosterError as error:
            raise NetBoosterError(f"{self.name}: {error}") from error
        return parse_recipe(content, self.name)

    def with_seed(self, seed: int) -> "Recipe":
        """A copy with this seed, in the recipes inside it, too."""
        return self.override({f"{prefix}seed": seed for prefix, _ in self.within()})

    def with_data(self, folders: Mapping[str, str | Path]) -> "Recipe":
        """A copy in which data sets lie in other folders, in the recipes inside it, too.

        Args:
            folders: by the data set's name, such as ``{"cifar100": "/data/cifar"}``.

        Raises:
            NetBoosterError: no recipe here uses a data set of that name.
        """
        used = {part.data.name for _, part in self.within()}
        for name in folders:
            if name not in used:
                raise NetBoosterError(
                    f"{self.name}: uses no data set '{name}'; it uses {', '.join(sorted(used))}"
                )
        places = {f"{prefix}data.root": part.data.name for prefix, part in self.within()}
        return self.override(
            {key: str(folders[name]) for key, name in places.items() if name in folders}
        )

    def total_steps(self, train_images: int) -> int:
        """Optimizer steps of one arm, for a training split of ``train_images`` images."""
        if self.train.steps is not None:
            return self.train.steps
        assert self.train.epochs is not None  # checked when the recipe was read
        return max(1, round(self.train.epochs * train_images / self.train.batch_size))

    def to_toml(self) -> str:
        """The resolved recipe: every key with its value, defaults included."""
        import tomli_w

        return tomli_w.dumps(_dump(self))

    def identity(self, arm: str, data_fingerprint: str) -> dict[str, Any]:
        """What decides the weights of an arm, as plain values: the key of its checkpoints.

        Keys that only say how often something is written or looked at, where the images lie, or
        what comes after training, are left out: changing them keeps a finished training.

        Args:
            arm: ``"vanilla"``, ``"boosted"``, or :attr:`arm`.
            data_fingerprint: ``Dataset.fingerprint()``, which says what the images are.
        """
        kept = _decisive(_dump(self))
        identity = {key: kept[key] for key in ("seed", "data", "model", "train")}
        identity["data"]["fingerprint"] = data_fingerprint
        if self.method is not None:
            for key in ("method", "route", "distillation", "netaug", "dropblock", "transfer"):
                if key in kept:
                    identity[key] = kept[key]
        if arm == "boosted":
            identity["netbooster"] = kept["netbooster"]
        return identity

    def digest(self, arm: str, data_fingerprint: str) -> str:
        """SHA-256 of :meth:`identity`, in hex."""
        text = json.dumps(self.identity(arm, data_fingerprint), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


_BOOKKEEPING = (
    "threads",
    "log_every",
    "eval_every",
    "eval_images",
    "checkpoint_every",
    "checkpoint_seconds",
)


def _decisive(dump: dict[str, Any]) -> dict[str, Any]:
    """A dumped recipe, and those inside it, without what leaves the weights as they are."""
    kept = {key: value for key, value in dump.items() if key not in ("name", "quantization")}
    kept.pop("emulate", None)
    kept["train"] = {k: v for k, v in dump["train"].items() if k not in _BOOKKEEPING}
    kept["data"] = {k: v for k, v in dump["data"].items() if k not in ("root", "workers")}
    for section, key in (("distillation", "teacher"), ("transfer", "source")):
        if key in kept.get(section, {}):
            kept[section] = {**kept[section], key: _decisive(kept[section][key])}
    return kept


def load_recipe(name: str, overrides: Changes = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        name: a TOML file, the name of a committed recipe ("digits"), or a table's row
            ("table1/mobilenetv2-tiny-vanilla"); with "@mini" its small variant.
        overrides: as in :meth:`Recipe.override`.

    Raises:
        NetBoosterError: one line naming the file, the key and what is allowed.
    """
    source = find_recipe(name)
    key = replace(source, path=source.path.resolve())
    above = _loading.get()
    if key in above:
        raise NetBoosterError(
            f"{source}: names itself as its teacher or source; name another recipe"
        )
    token = _loading.set((*above, key))
    try:
        recipe = parse_recipe(read_recipe(source), str(source))
        return recipe.override(overrides) if overrides else recipe
    finally:
        _loading.reset(token)


def parse_recipe(content: dict[str, Any], source: str) -> Recipe:
    """Check a recipe given as nested dictionaries; ``source`` names it in errors."""
    try:
        return Recipe.model_validate(content)
    except pydantic.ValidationError as error:
        raise NetBoosterError(f"{source}: {explain(error, Recipe)}") from error


def save_recipe(recipe: Recipe, run_dir: Path) -> Path:
    """Write the resolved recipe into a run folder, unless it is there already."""
    path = run_dir / "recipe.toml"
    text = recipe.to_toml()
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text)
    return path


def _dump(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe as plain values, without keys that are None."""
    return recipe.model_dump(mode="json", exclude_none=True)


def _load_named(value: object) -> object:
    """A recipe inside a recipe: loaded where it is given by name or path."""
    if not isinstance(value, str):
        return value
    try:
        return load_recipe(value)
    except NetBoosterError as error:
        raise ValueError(str(error)) from error


DistillationConfig.model_rebuild()
TransferConfig.model_rebuild()
Recipe.model_rebuild()
