# SPDX-License-Identifier: Apache-2.0
"""Recipes: one TOML file an experiment, holding everything that a rerun needs.

A recipe is checked whole before anything runs: unknown keys, wrong types and values out of range
are one-line errors that name the file and the key. Shares are fractions of a phase's steps, so one
recipe scales from minutes to days by ``train.steps`` alone.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import Field

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import write_atomic
from netbooster.common.sections import CountOrNever, Section
from netbooster.data import DataConfig
from netbooster.experiment.identity import decisive
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
    EmulateConfig,
    FineTuningConfig,
    QuantizationConfig,
)
from netbooster.methods import (
    DEFAULT as DEFAULT_METHOD,
)
from netbooster.methods import (
    DistillationSettings,
    DropBlockConfig,
    NetAugConfig,
    NetBoosterConfig,
    find_method,
    section_users,
)
from netbooster.models import model_info
from netbooster.models.config import ModelConfig
from netbooster.tasks import DEFAULT as DEFAULT_TASK
from netbooster.tasks import load_task
from netbooster.training.config import TrainConfig

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

S = TypeVar("S", bound=Section)

_loading: ContextVar[tuple[RecipeSource, ...]] = ContextVar("recipes being loaded", default=())
"""Sources of the recipes around the one that is loaded: a recipe names others inside it."""


class DistillationConfig(DistillationSettings):
    """Knowledge distillation: whose answers a network learns beside the labels."""

    teacher: "Recipe | None" = None
    """Recipe of the teacher, by name or path; trained first where it is not yet, in a run folder
    beside the student's. For rocket-launch: the network that is trained together with the
    student; only the name of its network counts."""

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
    task: str = DEFAULT_TASK
    """What images are asked for; one of ``netbooster.tasks.task_names()``."""
    method: str | None = None
    """How the network is trained, one of ``netbooster.methods.method_names()``. A training without
    it is NetBooster's; a comparison without it compares vanilla with NetBooster."""
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

    @pydantic.field_validator("method")
    @classmethod
    def _method_is_known(cls, method: str | None) -> str | None:
        if method is not None:
            _known(find_method, method)
        return method

    @pydantic.field_validator("task")
    @classmethod
    def _task_is_known(cls, task: str) -> str:
        _known(load_task, task)
        return task

    @pydantic.model_validator(mode="after")
    def _sections_fit_method(self) -> "Recipe":
        method = find_method(self.method) if self.method else None
        for section in _methods_sections():
            users = section_users(section)
            if getattr(self, section) is not None and self.method not in users:
                raise ValueError(f"[{section}] needs 'method' to be one of {', '.join(users)}")
        for part in (self.teacher, self.source):
            if part is not None and part.method is None:
                raise ValueError(f"the recipe {part.name} has no 'method'; set one there")
        if method is not None:
            method.check(self)
        if self.route and (method is None or method.grows):
            raise ValueError("'route' needs a 'method' without expansion, such as vanilla")
        return self

    @pydantic.model_serializer(mode="wrap")
    def _without_default_task(self, dump: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        if content.get("task") == DEFAULT_TASK:
            del content["task"]
        return content

    @property
    def teacher(self) -> "Recipe | None":
        """Recipe of the network whose answers this one learns."""
        return self.distillation.teacher if self.distillation else None

    @property
    def source(self) -> "Recipe | None":
        """Recipe of the network that this one goes on from, on another data set."""
        return self.transfer.source if self.transfer else None

    def settings(self, section: type[S]) -> S:
        """The recipe's section of a class; its defaults where the recipe has none."""
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, section):
                return value
        return section()

    def with_method(self, name: str | None = None) -> "Recipe":
        """The same experiment by a method; what only other methods read is left out.

        Args:
            name: of the method; None is the recipe's own, or NetBooster where it has none.

        Raises:
            NetBoosterError: no such method, or it cannot follow this recipe.
        """
        name = name or self.method or DEFAULT_METHOD
        if name == self.method:
            return self
        method = find_method(name)
        content = self.model_dump() | {"method": name}
        for section in _methods_sections():
            # Whether a recipe transfers is the experiment's to say: a method that cannot refuses.
            if section not in (*method.sections, "transfer"):
                content[section] = None
        if method.grows:
            content["route"] = 0
        return parse_recipe(content, f"recipe {self.name} by method {name}")

    def dependencies(self) -> list["Recipe"]:
        """Recipes whose networks must be trained before this one's."""
        if self.method is None:
            return []
        needed = [need.recipe for need in find_method(self.method).needs(self)]
        return [recipe for recipe in needed if isinstance(recipe, Recipe)]

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
        """Optimizer steps for a training split of ``train_images`` images."""
        return self.train.total_steps(train_images)

    def to_toml(self) -> str:
        """The resolved recipe: every key with its value, defaults included."""
        import tomli_w

        return tomli_w.dumps(_dump(self))

    def identity(self, data_fingerprint: str) -> dict[str, Any]:
        """What decides the weights of a run, as plain values: the key of its checkpoints.

        Keys that only say how often something is written or looked at, where the images lie, or
        what comes after training, are left out: changing them keeps a finished training.

        Args:
            data_fingerprint: ``Dataset.fingerprint()``, which says what the images are.
        """
        if self.method is None:
            return self.with_method().identity(data_fingerprint)
        kept = decisive(_dump(self))
        kept["data"]["fingerprint"] = data_fingerprint
        common = ("seed", "task", "method", "route", "data", "model", "train", "transfer")
        keys = (*common, *find_method(self.method).sections)
        return {key: kept[key] for key in keys if key in kept}

    def digest(self, data_fingerprint: str) -> str:
        """SHA-256 of :meth:`identity`, in hex."""
        text = json.dumps(self.identity(data_fingerprint), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


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


def _methods_sections() -> list[str]:
    """Sections that a recipe has for some methods alone."""
    fields = Recipe.model_fields.items()
    return [key for key, field in fields if field.default is None and section_users(key)]


def _known(find: Callable[[str], object], name: str) -> None:
    """Let pydantic name the key whose value is unknown."""
    try:
        find(name)
    except NetBoosterError as error:
        raise ValueError(str(error)) from error


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
