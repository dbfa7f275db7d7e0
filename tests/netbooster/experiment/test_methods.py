# SPDX-License-Identifier: Apache-2.0
"""Every method trains through the same loop: folders, routes, transfer, resuming."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from netbooster.common.errors import NetBoosterError
from netbooster.data import load_dataset
from netbooster.experiment import run
from netbooster.experiment.recipe import Recipe, parse_recipe
from netbooster.experiment.run import train, train_until
from netbooster.experiment.trained import load
from netbooster.methods import Job, NetBooster, find_method, method_names
from netbooster.methods.netaug import NetAugNetwork
from netbooster.methods.netbooster import build_giant
from netbooster.methods.rco_kd import RouteDistillation
from netbooster.methods.transfer import start_from_giant
from netbooster.models import build_model
from netbooster.tasks import Classification
from netbooster.training.averaging import WeightAverage
from netbooster.training.loop import Trainer
from netbooster.training.networks import load_giant

pytestmark = pytest.mark.usefixtures("few_images")


def make_recipe(name: str, method: str, **changes: Any) -> Recipe:
    train = {"steps": 4, "batch_size": 8, "threads": 1, "log_every": 2, "lr": 0.02}
    content: dict[str, Any] = {
        "name": name,
        "method": method,
        "data": {"name": "glyphs", "characters": "0123", "resolution": 32, "channels": 1},
        "model": {"name": "mobilenetv2-tiny"},
        "train": train | {"checkpoint_every": 1, "checkpoint_seconds": 0},
        "netbooster": {"giant_share": 0.5, "plt_lr": 0.01},
    }
    return parse_recipe(content | changes, name)


def make_job(recipe: Recipe, folder: Path) -> Job:
    return Job(
        recipe,
        load_dataset(recipe.data),
        Classification(),
        torch.device("cpu"),
        folder=folder,
    )


def state(path: Path) -> dict[str, torch.Tensor]:
    return load(path).network.state_dict()


@pytest.mark.parametrize("method", ["vanilla", "dropblock", "tf-kd", "rocket-launch", "netaug"])
def test_every_plain_method_ends_with_the_original_network(method: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"netaug": {"bn_images": 16}} if method == "netaug" else {}
    if method == "rocket-launch":
        changes["distillation"] = {"teacher": make_recipe("booster", "vanilla").model_dump()}
    if method == "dropblock":
        changes["dropblock"] = {"from_stride": 8, "block_size": 2}
    recipe = make_recipe("run", method, **changes)
    path = train(recipe, tmp_path / "run")
    assert path == tmp_path / "run" and (path / "contracted.pt").is_file()
    original = build_model("mobilenetv2-tiny", num_classes=4, resolution=32, channels=1)
    found = state(path)
    assert {k: v.shape for k, v in found.items()} == {
        k: v.shape for k, v in original.state_dict().items()
    }
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    lines = [json.loads(s) for s in (path / "metrics.jsonl").read_text().splitlines()]
    assert {line["phase"] for line in lines} == {method}


@pytest.fixture(scope="module")
def builds_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished teacher, which keeps its route, and a finished source."""
    root = tmp_path_factory.mktemp("builds-on")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "evaluate_splits", lambda *_, **__: {"test": 0.5})
        train(make_recipe("teacher", "vanilla", route=2), root / "teacher")
        train_until(make_recipe("source", "netbooster"), root / "source", "giant.pt")
    return root


def method_changes(method: str) -> dict[str, Any]:
    changes: dict[str, Any] = {"netaug": {"bn_images": 16}} if method == "netaug" else {}
    if method in ("kd", "rco-kd", "rocket-launch", "netbooster-kd"):
        teacher = make_recipe("teacher", "vanilla", route=2)
        changes["distillation"] = {"teacher": teacher.model_dump()}
    return changes


def killed_and_resumed(
    recipe: Recipe, builds_on: Path, tmp_path: Path, patch: pytest.MonkeyPatch, kill_at: int
) -> tuple[bytes, bytes]:
    """``contracted.pt`` of an uninterrupted run, and of one that was killed before a step."""
    for way in ("whole", "cut"):
        shutil.copytree(builds_on, tmp_path / way)
    whole = train(recipe, tmp_path / "whole" / "run") / "contracted.pt"
    original = Trainer._train_step

    def stop(self: Any, *arguments: Any) -> Any:
        if self.step == kill_at:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with patch.context() as inner:
        inner.setattr(Trainer, "_train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "cut" / "run")
    torch.rand(5)  # whatever happened in between
    out = io.StringIO()
    path = train(recipe, tmp_path / "cut" / "run", console=Console(file=out, width=300))
    assert f"resuming from step {kill_at}" in out.getvalue()
    return whole.read_bytes(), (path / "contracted.pt").read_bytes()


EXTRAS = {"ema_decay": 0.5, "accumulate": 2, "amp": "bfloat16"}


@pytest.mark.parametrize(
    ("method", "extras"),
    [
        *((m, {}) for m in ("dropblock", "kd", "tf-kd", "rco-kd", "rocket-launch", "netaug")),
        ("netbooster-kd", {}),
        *((m, EXTRAS) for m in ("rco-kd", "netaug", "netbooster-kd")),
    ],
)
def test_resumed_run_ends_with_the_same_bytes(
    method: str,
    extras: dict[str, Any],
    builds_on: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = make_recipe("run", method, **method_changes(method))
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update=extras)})
    whole, cut = killed_and_resumed(recipe, builds_on, tmp_path, monkeypatch, kill_at=3)
    assert whole == cut


def test_resumed_transfer_ends_with_the_same_bytes(
    builds_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_recipe("source", "netbooster").model_dump()
    data = {"name": "glyphs", "characters": "ABC", "resolution": 32, "channels": 1}
    recipe = make_recipe("run", "netbooster", data=data, transfer={"source": source})
    whole, cut = killed_and_resumed(recipe, builds_on, tmp_path, monkeypatch, kill_at=1)
    assert whole == cut


def test_netaug_average_follows_the_channels(tmp_path: Path) -> None:
    """An average over permuted channels would be one of different channels."""
    recipe = make_recipe("run", "netaug", netaug={"bn_images": 16})
    train = recipe.train.model_copy(update={"ema_decay": 0.9, "batch_size": 8})
    recipe = recipe.model_copy(update={"train": train})
    wide = find_method("netaug")(make_job(recipe, tmp_path)).model
    assert isinstance(wide, NetAugNetwork)
    average = WeightAverage(wide, 0.5)
    wide.sort_channels(average.state_dict())
    for name, tensor in wide.state_dict().items():
        assert torch.equal(tensor, average.state_dict()[name]), name


def test_route_is_kept_and_leads_in_order(tmp_path: Path) -> None:
    teacher = make_recipe("teacher", "vanilla", route=4)
    recipe = make_recipe("rco", "rco-kd", distillation={"teacher": teacher.model_dump()})
    train(recipe, tmp_path / "rco")
    folder = tmp_path / "teacher"
    files = sorted(path.name for path in (folder / "route").iterdir())
    assert files == ["step-00000001.pt", "step-00000002.pt", "step-00000003.pt"]
    objective = find_method("rco-kd")(make_job(recipe, tmp_path / "rco")).objective
    assert isinstance(objective, RouteDistillation)
    expected = [torch.load(folder / "route" / name, weights_only=True) for name in files]
    states = [entry["state_dict"] for entry in expected] + [state(folder)]
    assert [entry["step"] for entry in expected] == [1, 2, 3]
    assert not torch.equal(states[0]["stem.conv.weight"], states[3]["stem.conv.weight"])
    for step in range(4):
        now = objective.teacher_at(step).state_dict()
        assert all(torch.equal(now[name], states[step][name]) for name in now), step


def test_giant_is_tuned_on_the_target(tmp_path: Path) -> None:
    source = make_recipe("source", "netbooster")
    data = {"name": "glyphs", "characters": "ABCDEF", "resolution": 32, "channels": 1}
    target = make_recipe(
        "target", "netbooster", data=data, transfer={"source": source.model_dump()}
    )
    (phase,) = NetBooster.phases(target, 4)
    assert (phase.name, phase.first, phase.steps) == ("plt", 0, 4)
    path = train(target, tmp_path / "target")
    finished = load(path)
    assert finished.network.classifier.out_features == 6
    assert finished.meta["contraction_error"] < 1e-4
    # Only the source's giant was trained, not its PLT; and PLT began at its weights.
    assert not (tmp_path / "source" / "contracted.pt").exists()
    giant, _ = load_giant(tmp_path / "source" / "giant.pt", Classification())
    job = make_job(target, tmp_path / "target")
    fresh = build_giant(job)
    head = fresh.classifier.weight.clone()
    start_from_giant(fresh, job)
    assert torch.equal(fresh.classifier.weight, head)
    theirs, own = giant.state_dict(), fresh.state_dict()
    assert all(torch.equal(own[n], theirs[n]) for n in own if not n.startswith("classifier."))
    # The source can still go on to its own end.
    train(source, tmp_path / "source")
    assert (tmp_path / "source" / "contracted.pt").exists()
    lines = (tmp_path / "source" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["giant", "plt"]


def test_vanilla_transfer_with_a_teacher(tmp_path: Path) -> None:
    source = make_recipe("source", "vanilla")
    teacher = make_recipe("teacher", "vanilla", seed=5)
    recipe = make_recipe(
        "target",
        "kd",
        transfer={"source": source.model_dump()},
        distillation={"teacher": teacher.model_dump()},
    )
    path = train(recipe, tmp_path / "target")
    assert load(path).meta["method"] == "kd"
    assert (tmp_path / "teacher" / "contracted.pt").exists()
    both = make_recipe("both", "netbooster-kd", distillation={"teacher": teacher.model_dump()})
    assert (train(both, tmp_path / "both") / "giant.pt").is_file()


def test_source_of_another_expansion_is_refused(tmp_path: Path) -> None:
    source = make_recipe("source", "netbooster", netbooster={"expansion": {"count": 2}})
    train_until(source, tmp_path / "source", "giant.pt")
    target = make_recipe("target", "netbooster", transfer={"source": source.model_dump()})
    with pytest.raises(NetBoosterError, match=r"giant\.pt: holds another network .*expansion"):
        train(target, tmp_path / "target")


def test_teacher_of_other_classes_is_refused(tmp_path: Path) -> None:
    data = {"name": "glyphs", "characters": "AB", "resolution": 32, "channels": 1}
    teacher = make_recipe("teacher", "vanilla", data=data)
    recipe = make_recipe("kd", "kd", distillation={"teacher": teacher.model_dump()})
    with pytest.raises(NetBoosterError, match="the teacher knows other classes"):
        train(recipe, tmp_path / "kd")


def test_another_teacher_is_another_recipe(tmp_path: Path) -> None:
    teacher = make_recipe("teacher", "vanilla")
    recipe = make_recipe("kd", "kd", distillation={"teacher": teacher.model_dump()})
    train(recipe, tmp_path / "kd")
    longer = teacher.model_copy(update={"seed": 1, "name": "longer"})
    other = make_recipe("kd", "kd", distillation={"teacher": longer.model_dump()})
    with pytest.raises(NetBoosterError, match=r"distillation\.teacher\.seed is 0 there, 1 here"):
        train(other, tmp_path / "kd")


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("kd", {}, "needs 'distillation.teacher'"),
        ("vanilla", {"netaug": {}}, r"\[netaug\] needs 'method' to be one of netaug"),
        ("netbooster", {"route": 3}, "'route' needs a 'method' without expansion"),
        ("netaug", {"netaug": {"width_factor": 2}}, "unknown key; did you mean 'width_factors'"),
    ],
)
def test_sections_must_fit_the_method(method: str, changes: Any, message: str) -> None:
    with pytest.raises(NetBoosterError, match=message):
        make_recipe("run", method, **changes)


def test_rco_needs_a_route_and_a_giant_a_giant() -> None:
    plain = make_recipe("plain", "vanilla").model_dump()
    with pytest.raises(NetBoosterError, match="set 'route' of the recipe plain to 2 or more"):
        make_recipe("rco", "rco-kd", distillation={"teacher": plain})
    with pytest.raises(NetBoosterError, match="a giant comes from a giant"):
        make_recipe("target", "netbooster", transfer={"source": plain})


def test_every_method_says_what_it_is() -> None:
    assert {"vanilla", "netbooster", "kd", "tf-kd", "rco-kd"} < set(method_names())
    for name in method_names():
        method = find_method(name)
        assert method.name == name and method.__doc__
    with pytest.raises(NetBoosterError, match="unknown method 'magic'; choose one of"):
        find_method("magic")
    with pytest.raises(NetBoosterError, match="key 'method': unknown method 'magic'"):
        make_recipe("run", "magic")


def test_recipe_by_another_method_keeps_what_both_read() -> None:
    teacher = make_recipe("teacher", "vanilla", route=2)
    recipe = make_recipe("run", "kd", distillation={"teacher": teacher.model_dump()}, seed=3)
    plain = recipe.with_method("vanilla")
    assert (plain.method, plain.distillation, plain.seed) == ("vanilla", None, 3)
    assert plain.identity("d") == make_recipe("other", "vanilla", seed=3).identity("d")
    assert recipe.with_method("rco-kd").teacher == teacher
    assert recipe.with_method("kd") is recipe and recipe.with_method() is recipe
    with pytest.raises(NetBoosterError, match="run by method kd: .*needs 'distillation.teacher'"):
        plain.with_method("kd")
    assert teacher.with_method("netbooster").route == 0
