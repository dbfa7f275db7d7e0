# SPDX-License-Identifier: Apache-2.0
"""The method as a library: the documented example runs, and the loop takes any network and data."""

import doctest
import itertools
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import netbooster
from netbooster.common.seeds import reproducible
from netbooster.data import Batch, Dataset, Preprocess
from netbooster.giant.contraction import contract
from netbooster.giant.expansion import ExpansionConfig, expand
from netbooster.giant.plt import get_alpha
from netbooster.tasks import Classification
from netbooster.training.checkpoint import RunStore
from netbooster.training.config import TrainConfig
from netbooster.training.loop import Trainer
from netbooster.training.phases import Phase


def test_documented_example_runs(tmp_path: Path, few_images: None) -> None:
    Image.new("L", (40, 50), 200).save(tmp_path / "seven.png")
    result = doctest.testmod(netbooster, extraglobs={"runs": tmp_path})
    assert result.attempted == 21 and result.failed == 0


def test_import_loads_no_torch_and_knows_its_names() -> None:
    program = (
        "import sys, netbooster as nb\n"
        "assert set(nb.__all__) <= set(dir(nb)) and nb.__version__\n"
        "assert issubclass(nb.NetBoosterError, Exception)\n"
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "for name in nb.__all__: getattr(nb, name)\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
    with pytest.raises(AttributeError, match="has no attribute 'magic'"):
        netbooster.magic  # noqa: B018 - the access is the test


def test_every_public_name_has_its_home() -> None:
    assert sorted(netbooster._HOMES) == sorted(netbooster.__all__)


def test_plt_reaches_one_and_resumes() -> None:
    giant = netbooster.expand(own_network(), netbooster.ExpansionConfig(ratio=4))
    plt = netbooster.PLT(giant, steps=4)
    seen = [get_alpha(giant)]
    for _ in range(5):
        plt.step()
        seen.append(get_alpha(giant))
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    state = plt.state_dict()
    again = netbooster.PLT(giant, steps=4)
    assert get_alpha(giant) == 0.0
    again.load_state_dict(state)
    assert get_alpha(giant) == 1.0
    with pytest.raises(netbooster.NetBoosterError, match="expand the network first"):
        netbooster.PLT(own_network(), steps=4)


def test_own_network_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netbooster.models.registry._NETWORKS", {})

    @netbooster.register("own", family="Own", resolution=8, stride=2)
    def own(*, num_classes: int, resolution: int, channels: int = 3) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * resolution**2, num_classes))

    assert netbooster.model_names() == ["own"]
    built = netbooster.build_model("own", num_classes=5, resolution=8)
    assert built(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
    with pytest.raises(netbooster.NetBoosterError, match="'own' is registered already"):
        netbooster.register("own", family="Own", resolution=8, stride=2)(own)


class Halves(Dataset):
    """A user's own data: is the upper half brighter than the lower one?"""

    name = "halves"
    labels = ["lower", "upper"]
    preprocess = Preprocess(8, 3, (128.0,) * 3, (64.0,) * 3)

    def _batch(self, size: int, seed: int) -> Batch:
        draw = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (size,), generator=draw)
        images = torch.randint(0, 150, (size, 3, 8, 8), generator=draw)
        images[:, :, :4] += 100 * labels[:, None, None, None]
        images[:, :, 4:] += 100 * (1 - labels)[:, None, None, None]
        return images.to(torch.uint8), labels

    def train_batches(
        self, *, batch_size: int, seed: int, start_step: int = 0, device: Any = None
    ) -> Generator[Batch, None, None]:
        for step in itertools.count(start_step):
            yield self._batch(batch_size, 1000 * seed + step)

    def split(
        self, name: str, *, limit: int | None = None, device: Any = None
    ) -> Generator[Batch, None, None]:
        yield self._batch(self.split_size(name), len(name) + 10**6)

    def split_size(self, name: str) -> int:
        return 128

    def fingerprint(self) -> str:
        return "halves"


def own_network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        *(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU()),
        *(nn.Conv2d(16, 16, 3, 2, 1, groups=16), nn.BatchNorm2d(16), nn.SiLU()),
        nn.Flatten(),
        nn.Linear(256, 2),
    )


def test_loop_takes_any_network_and_data(tmp_path: Path) -> None:
    data, network = Halves(), own_network()
    giant = expand(network, ExpansionConfig(ratio=4))
    config = TrainConfig(steps=60, batch_size=32, lr=0.05, ema_decay=0.8, log_every=20)
    store = RunStore(tmp_path, {"experiment": "halves"})
    trainer = Trainer(giant, data, config, task=Classification(), seed=0, store=store)
    with reproducible(trainer.device, 1):
        trainer.train_steps(Phase("giant", 0, 40, lr=0.05, warmup_steps=4))
        trainer.train_steps(Phase("plt", 40, 20, lr=0.02, decay_steps=8))
    assert get_alpha(trainer.result()) == 1.0
    boosted = contract(trainer.result()).eval()
    assert list(boosted.state_dict()) == list(network.state_dict())
    images, labels = data._batch(256, 77)
    with torch.no_grad():
        right = boosted(data.preprocess.normalize(images)).argmax(1) == labels
    assert right.float().mean() > 0.9
    assert (tmp_path / "checkpoint.pt").is_file()
    again = Trainer(
        expand(own_network(), ExpansionConfig(ratio=4)),
        data,
        config,
        task=Classification(),
        seed=0,
        store=store,
    )
    assert again.resume() and again.step == 60
