"""Recipes: one TOML file an experiment, holding everything that a rerun needs.

A recipe is checked whole before anything runs: unknown keys, wrong types and values out of range
are one-line errors that name the file and the key. Shares are fractions of a phase's steps, so one
recipe scales from minutes to days by ``train.steps`` alone.
"""

import difflib
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from netbooster.data import DataConfig
from netbooster.errors import NetBoosterError
from netbooster.expansion import ExpansionConfig
from netbooster.files import write_atomic
from netbooster.models import model_info, model_names

RECIPE_FOLDER = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrNever = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Section):
    """Which network is trained; resolution, channels and classes follow from the data."""

    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in model_names():
            raise ValueError(f"unknown network {name!r}; choose one of {', '.join(model_names())}")
        return name


class TrainConfig(_Section):
    """How both arms are trained; vanilla and NetBooster take equally many optimizer steps.

    What the paper leaves open (warm-up, weight decay, label smoothing, Nesterov momentum) defaults
    to the published recipe of the width-augmentation baseline that it follows (section 4.1).
    """

    steps: Count | None = None
    """Optimizer steps of one arm in total; either this or ``epochs``."""
    epochs: Positive | None = None
    """Passes over the training split in total; either this or ``steps``."""
    batch_size: Count = 128
    optimizer: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    """Peak learning rate of the vanilla network and, unless set there, of the giant."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: NotNegative = 4e-5
    """On weights of convolutions and linear layers only: none on bias and norm."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    schedule: Literal["cosine"] = "cosine"
    warmup: Share = 0.03
    """Share of a phase's steps in which its learning rate rises linearly from 0."""
    channels_last: bool = True
    """Memory format on the CPU, where it halves a step's time; the numbers stay the same up to
    rounding. Ignored on GPUs."""
    threads: CountOrNever = 0
    """CPU threads; 0 is torch's default, one a core."""
    log_every: Count = 20
    """Steps between two lines of ``metrics.jsonl``."""
    eval_every: CountOrNever = 0
    """Steps between two evaluations on the validation split; 0 is only at the end."""
    eval_images: Count = 2000
    """Validation images of an evaluation in the middle of training."""
    checkpoint_every: CountOrNever = 0
    """Steps between two checkpoints; 0 leaves it to ``checkpoint_seconds``."""
    checkpoint_seconds: NotNegative = 30.0
    """Seconds between two checkpoints; 0 leaves it to ``checkpoint_every``."""

    @pydantic.model_validator(mode="after")
    def _has_one_length(self) -> "TrainConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("set exactly one of 'steps' and 'epochs'")
        if self.nesterov and self.momentum == 0:
            raise ValueError("'nesterov = true' needs 'momentum' greater than 0")
        return self


class NetBoosterConfig(_Section):
    """The boosted arm: expand, train the giant, linearize it (PLT), contract it."""

    expansion: ExpansionConfig = Field(default_factory=ExpansionConfig)
    giant_share: Annotated[float, Field(gt=0, lt=1)] = 160 / 310
    """Share of all steps in which the giant trains before PLT; the paper: 160 of 310 epochs."""
    giant_lr: Positive | None = None
    """Peak learning rate of the giant's phase; absent: ``train.lr``."""
    giant_final_lr: NotNegative = 0.0
    """Learning rate at which the giant's cosine ends."""
    decay_share: Annotated[float, Field(ge=0, le=1)] = 40 / 150
    """E_d: share of the PLT phase in which alpha rises to 1; the paper: 40 of 150 epochs."""
    plt_lr: Positive = 0.05
    """Peak learning rate of the PLT phase, which the paper does not give."""
    plt_warmup: Share = 0.0
    """Share of the PLT phase in which its learning rate rises from 0."""


class QuantizationConfig(_Section):
    """How the float network becomes int8."""

    method: Literal["post-training"] = "post-training"
    calibration: Literal["min-max", "percentile", "mse"] = "min-max"
    """How the range of an activation follows from its values over the calibration images."""
    calibration_samples: Count = 512
    """Training images from which the ranges of activations are taken."""


class EmulateConfig(_Section):
    """What runs on the emulated board."""

    images: Count = 32
    """Test images that the firmware answers."""


class Recipe(_Section):
    """A whole experiment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    netbooster: NetBoosterConfig = Field(default_factory=NetBoosterConfig)
    quantization: QuantizationConfig = Field(default_factory=QuantizationConfig)
    emulate: EmulateConfig = Field(default_factory=EmulateConfig)

    @pydantic.model_validator(mode="after")
    def _network_fits_images(self) -> "Recipe":
        least = model_info(self.model.name).min_resolution
        if self.data.resolution < least:
            raise ValueError(
                f"data.resolution {self.data.resolution} is smaller than the total stride of "
                f"{self.model.name}; use at least {least}"
            )
        return self

    def total_steps(self, train_images: int) -> int:
        """Optimizer steps of one arm, for a training split of ``train_images`` images."""
        if self.train.steps is not None:
            return self.train.steps
        assert self.train.epochs is not None  # checked when the recipe was read
        return max(1, round(self.train.epochs * train_images / self.train.batch_size))

    def to_toml(self) -> str:
        """The resolved recipe: every key with its value, defaults included."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def identity(self, arm: str, data_fingerprint: str) -> dict[str, Any]:
        """What decides the weights of an arm, as plain values: the key of its checkpoints.

        Keys that only say how often something is written or looked at, where the images lie, or
        what comes after training, are left out: changing them keeps a finished training.

        Args:
            arm: ``"vanilla"`` or ``"boosted"``.
            data_fingerprint: ``Dataset.fingerprint()``, which says what the images are.
        """
        kept = self.model_dump(mode="json", exclude_none=True)
        identity = {key: kept[key] for key in ("seed", "data", "model", "train")}
        for key in _BOOKKEEPING:
            identity["train"].pop(key, None)
        for key in ("root", "workers"):
            identity["data"].pop(key, None)
        identity["data"]["fingerprint"] = data_fingerprint
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


def recipe_names() -> list[str]:
    """Names of the committed recipes."""
    return sorted(path.stem for path in RECIPE_FOLDER.glob("*.toml"))


def find_recipe(path_or_name: str) -> Path:
    """The file behind a path, or behind the name of a committed recipe.

    Raises:
        NetBoosterError: neither exists; lists the names.
    """
    path = Path(path_or_name)
    if path.is_file():
        return path
    if path_or_name in recipe_names():
        return RECIPE_FOLDER / f"{path_or_name}.toml"
    raise NetBoosterError(
        f"{path_or_name}: no such recipe; give the path of a TOML file or one of the names "
        f"{', '.join(recipe_names())}"
    )


def load_recipe(path_or_name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path_or_name: a TOML file, or the name of a committed recipe.
        overrides: ``"section.key=value"`` with the value written as in TOML (a bare word is a
            string); applied before checking.

    Raises:
        NetBoosterError: one line naming the file, the key and what is allowed.
    """
    path = find_recipe(path_or_name)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise NetBoosterError(f"{path}: cannot be read as TOML: {_one_line(error)}") from error
    for override in overrides:
        _apply_override(content, override)
    return parse_recipe(content, str(path))


def parse_recipe(content: dict[str, Any], source: str) -> Recipe:
    """Check a recipe given as nested dictionaries; ``source`` names it in errors."""
    try:
        return Recipe.model_validate(content)
    except pydantic.ValidationError as error:
        raise NetBoosterError(f"{source}: {_explain(error)}") from error


def save_recipe(recipe: Recipe, run_dir: Path) -> Path:
    """Write the resolved recipe into a run folder, unless it is there already."""
    path = run_dir / "recipe.toml"
    text = recipe.to_toml()
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text)
    return path


def _apply_override(content: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise NetBoosterError(f"--set {override}: write it as section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    section = content
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            raise NetBoosterError(f"--set {override}: '{key}' is not a section")
    section[keys[-1]] = value


def _explain(error: pydantic.ValidationError) -> str:
    """The first problem of a recipe in one line, with the number of further ones."""
    problems = error.errors(include_url=False)
    # An unknown key explains a missing one (a misspelling), so it comes first.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    location = [part for part in problem["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(known)}"
        message = f"unknown key; {hint}"
    elif problem["type"] == "missing":
        message = "is missing; add it"
        if section := _known_keys(location):
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


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """Keys allowed in the section at ``location``; empty where that is no section."""
    section: Any = Recipe
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
