# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning: repeatable, kept in a file, its settings checked."""

import pytest
import torch

from netbooster.common.errors import NetBoosterError
from netbooster.data import load_dataset
from netbooster.experiment.recipe import parse_recipe
from netbooster.models import build_model
from netbooster.quantize.fine_tuning import fine_tune_file


def recipe_with(**tuning: object):
    content = {
        "name": "t",
        "data": {"name": "digits", "resolution": 32, "channels": 1},
        "model": {"name": "mobilenetv2-tiny"},
        "train": {"steps": 40, "batch_size": 8},
        "quantization": {"calibration_samples": 8, "fine_tuning": {"steps": 2, **tuning}},
    }
    return parse_recipe(content, "t.toml")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_model("mobilenetv2-tiny", num_classes=10, resolution=32, channels=1).eval()


def test_repeats_and_is_kept(network, tmp_path):
    recipe = recipe_with()
    dataset = load_dataset(recipe.data)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first = fine_tune_file(tmp_path / "a.pt", network, dataset, recipe)
    again = fine_tune_file(tmp_path / "b.pt", network, dataset, recipe)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert first.activations == again.activations
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
    changed = [k for k, v in first.network.state_dict().items() if not torch.equal(v, before[k])]
    assert any(key.endswith("conv.weight") for key in changed)
    assert not any("running" in key for key in changed)
    # Kept: the file decides, not another training.
    stamp = (tmp_path / "a.pt").stat().st_mtime_ns
    kept = fine_tune_file(tmp_path / "a.pt", network, dataset, recipe)
    assert (tmp_path / "a.pt").stat().st_mtime_ns == stamp
    assert kept.activations == first.activations
    for a, b in zip(kept.network.parameters(), first.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_is_no_number_is_refused(network, tmp_path):
    recipe = recipe_with(lr=1e30)
    with pytest.raises(NetBoosterError, match=r"step 1; lower quantization\.fine_tuning\.lr"):
        fine_tune_file(tmp_path / "a.pt", network, load_dataset(recipe.data), recipe)
    assert not (tmp_path / "a.pt").exists()


def test_recipe_names_a_wrong_method():
    content = recipe_with().model_dump(mode="json", exclude_none=True)
    content["quantization"]["method"] = "magic"
    with pytest.raises(NetBoosterError, match=r"quantization\.method.*quantization-aware"):
        parse_recipe(content, "t.toml")
