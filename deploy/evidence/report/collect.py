# SPDX-License-Identifier: Apache-2.0
"""Reading a run folder: what is there, what is missing, and whether it belongs together."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from deploy.core.errors import DeployError
from deploy.evidence.measurement import Measurement, first_problem
from deploy.evidence.report.schema import MetricPoint, ModelCard, PlanFile, Summary

_Schema = TypeVar("_Schema", bound=BaseModel)


@dataclass(frozen=True)
class Missing:
    """A piece of the run that is not there, and the command that makes it."""

    model: str
    what: str
    command: str


@dataclass
class ModelRun:
    """All that is known of one run's model.

    ``tflm``: what the same model did in TensorFlow Lite Micro, where somebody ran it there.
    """

    name: str
    summary: Summary | None = None
    card: ModelCard | None = None
    plan: PlanFile | None = None
    measurement: Measurement | None = None
    tflm: Measurement | None = None
    metrics: list[MetricPoint] = field(default_factory=list)
    tflite: bytes | None = None

    @property
    def tflite_bytes(self) -> int | None:
        """Size of the flatbuffer."""
        if self.tflite is not None:
            return len(self.tflite)
        return self.measurement.tflite_bytes if self.measurement else None

    @property
    def empty(self) -> bool:
        """Whether no stage has left anything for this model."""
        parts = (self.summary, self.card, self.plan, self.measurement, self.tflite)
        return not self.metrics and all(part is None for part in parts)


@dataclass
class RunData:
    """A run folder as the report sees it, for one target.

    ``alone``: it is one run; the reference is empty then. ``selected``: the run that is put
    forward; ``why``: why.
    """

    name: str
    target: str
    recipe_text: str
    recipe: dict[str, object]
    reference: ModelRun
    contender: ModelRun
    missing: list[Missing]
    alone: bool = False
    selected: str = ""
    why: str = ""

    @property
    def models(self) -> list[ModelRun]:
        """Both models, the reference first; of a single run the one."""
        return [self.contender] if self.alone else [self.reference, self.contender]

    @property
    def measured(self) -> ModelRun | None:
        """The model that the figures are about: of those measured the one that is put forward,
        else the contender."""
        return next((item for item in self.foremost if item.measurement), None)

    @property
    def foremost(self) -> tuple[ModelRun, ModelRun]:
        """The model that is put forward, or the contender where nobody says, before the other."""
        if self.selected and self.selected == self.reference.name:
            return self.reference, self.contender
        return self.contender, self.reference

    def lacking(self, what: str) -> Missing | None:
        """Which models lack ``what`` (as one entry, their names joined) and what makes it."""
        found = [item for item in self.missing if item.what == what]
        if not found:
            return None
        return Missing(" and ".join(item.model for item in found), what, found[0].command)


def rerun_command(stage: str, target: str, folder: str = "RUN") -> str:
    """The command that makes a missing or stale piece; RUN stands for the run folder."""
    if stage == "train":
        return f"netbooster train RECIPE --output {folder}"
    suffix = f" --target {target}" if stage in ("build", "measure", "report") else ""
    return f"netbooster {stage} {folder}{suffix}"


def collect_run(
    run_dir: Path,
    target: str,
    runs: Sequence[str] = (),
    *,
    selected: str = "",
    why: str = "",
) -> RunData:
    """Read what the earlier stages left in ``run_dir`` for ``target``.

    A missing file is listed in ``missing``; a file that cannot be understood, or that was made
    from another flatbuffer than the one beside it, is an error.

    Args:
        runs: folders of the two runs that are set beside each other, the reference first; or of
            one alone; empty: ``run_dir`` itself is the run.
        selected: the run that is put forward.
        why: what is said about it.

    Raises:
        DeployError: nothing to report on, a malformed file, or artifacts of different models mixed.
    """
    recipe_text, recipe = _read_recipe(run_dir / "recipe.toml")
    missing: list[Missing] = []
    folders = [run_dir / name for name in runs] or [run_dir]
    found = [_read_model(folder, target, missing) for folder in folders]
    if all(run.empty for run in found):
        places = " or ".join(f"{folder}/" for folder in folders)
        raise DeployError(
            f"nothing in {places} holds results; `netbooster run RECIPE --target {target} "
            f"--output {run_dir}` makes them"
        )
    name = recipe.get("name")
    return RunData(
        name=name if isinstance(name, str) and name else run_dir.resolve().name,
        target=target,
        recipe_text=recipe_text,
        recipe=recipe,
        reference=found[0] if len(found) > 1 else ModelRun("reference"),
        contender=found[-1],
        missing=missing,
        alone=len(found) == 1,
        selected=selected,
        why=why,
    )


def _read_recipe(path: Path) -> tuple[str, dict[str, object]]:
    text = _read_bytes(path)
    if text is None:
        return "", {}
    try:
        decoded = text.decode()
        return decoded, tomllib.loads(decoded)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DeployError(f"{path}: not valid TOML ({error}); restore the recipe") from error


def _read_model(folder: Path, target: str, missing: list[Missing]) -> ModelRun:
    run = ModelRun(folder.resolve().name)
    metrics = folder / "metrics.jsonl"
    measurement = folder / f"measurement-{target}.json"
    train, quantize, build = (
        rerun_command(stage, target) for stage in ("train", "quantize", "compile")
    )
    measure = rerun_command("measure", target)

    run.metrics = _read_metrics(metrics, train)
    run.summary = _read_json(folder / "summary.json", Summary, quantize)
    run.card = _read_json(folder / "model.json", ModelCard, quantize)
    run.tflite = _read_bytes(folder / "model.tflite")
    run.plan = _read_json(folder / "generated" / "plan.json", PlanFile, build)
    run.measurement = _read_json(measurement, Measurement, measure)
    for part, what, command in (
        (run.metrics or None, "training log", train),
        (run.summary, "training summary", quantize),
        (run.card, "int8 model", quantize),
        (run.tflite, "flatbuffer", quantize),
        (run.plan, "memory plan", build),
        (run.measurement, "measurement", measure),
    ):
        if part is None:
            missing.append(Missing(run.name, what, command))
    _check_hashes(run, folder, target)
    if run.measurement:
        _check_measurement(run.measurement, measurement, target, measure)
    _read_tflm(run, folder, target, measure)
    return run


def _read_tflm(run: ModelRun, folder: Path, target: str, measure: str) -> None:
    """The same for the other engine, which nobody has to have."""
    path = folder / f"measurement-{target}-tflm.json"
    remedy = f"{measure} --engine tflm --tflm-dir DIR"
    run.tflm = _read_json(path, Measurement, remedy)
    if run.tflm is None:
        return
    _check_measurement(run.tflm, path, target, remedy)
    known = run.tflm.hashes.get("tflite")
    if run.tflite is not None and known and known != hashlib.sha256(run.tflite).hexdigest():
        raise DeployError(
            f"{path}: made from another flatbuffer than {folder / 'model.tflite'}; `{remedy}` "
            "makes it again"
        )


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeployError(f"cannot read {path}: {error.strerror or error}") from error


def _read_json(path: Path, schema: type[_Schema], remedy: str) -> _Schema | None:
    data = _read_bytes(path)
    if data is None:
        return None
    try:
        return schema.model_validate_json(data)
    except ValidationError as error:
        raise DeployError(f"{path}: {first_problem(error)}; `{remedy}` writes it again") from None


def _read_metrics(path: Path, remedy: str) -> list[MetricPoint]:
    data = _read_bytes(path)
    points: dict[tuple[str, int], MetricPoint] = {}
    for number, line in enumerate((data or b"").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            point = MetricPoint.model_validate_json(line)
        except ValidationError as error:
            raise DeployError(
                f"{path}: line {number}: {first_problem(error)}; `{remedy}` goes on from the "
                "last checkpoint"
            ) from None
        # A resumed training repeats the steps since its checkpoint: the later line counts. Lines
        # of evaluation may repeat a step of training: keep what only the earlier line has.
        key = (point.phase, point.step)
        earlier = points.get(key)
        if earlier is not None:
            known = point.model_dump(exclude_none=True)
            point = earlier.model_copy(update=known)
        points[key] = point
    return [points[key] for key in sorted(points)]


def _check_hashes(run: ModelRun, folder: Path, target: str) -> None:
    """Refuse a folder whose files were made from different flatbuffers."""
    if run.tflite is None:
        return
    actual = hashlib.sha256(run.tflite).hexdigest()
    recorded = (
        (run.card and run.card.hashes.get("tflite"), "model.json", "quantize"),
        (run.plan and run.plan.tflite_sha256, "generated/plan.json", "compile"),
        (
            run.measurement and run.measurement.hashes.get("tflite"),
            f"measurement-{target}.json",
            "measure",
        ),
    )
    for value, file, stage in recorded:
        if value and value.removeprefix("sha256:") != actual:
            raise DeployError(
                f"{folder / file}: made from another flatbuffer than {folder / 'model.tflite'}; "
                f"`{rerun_command(stage, target)}` makes it again"
            )


def _check_measurement(measured: Measurement, path: Path, target: str, remedy: str) -> None:
    if measured.target != target:
        raise DeployError(f"{path}: is of target {measured.target}; `{remedy}` writes it again")
    for name, other in (("ram", measured.ram.other), ("flash", measured.flash.other)):
        if other < 0:
            raise DeployError(
                f"{path}: {name}.total is {-other} bytes less than its parts; "
                f"`{remedy}` writes it again"
            )
    if measured.latency_estimated_ms is not None:
        if measured.cycles_estimated is None:
            raise DeployError(
                f"{path}: latency_estimated_ms without cycles_estimated; `{remedy}` writes it again"
            )
        expected = measured.cycles_estimated / measured.clock_hz * 1e3
        if abs(measured.latency_estimated_ms - expected) > 0.005 * expected:
            raise DeployError(
                f"{path}: latency_estimated_ms is not cycles_estimated / clock_hz; "
                f"`{remedy}` writes it again"
            )
