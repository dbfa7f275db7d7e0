# SPDX-License-Identifier: Apache-2.0
"""NetBooster: train tiny networks by expansion, progressive linearization and contraction.

From a recipe to a network that answers (``runs`` is a folder of yours):

>>> import netbooster as nb
>>> recipe = nb.load_recipe("digits").override({"train.steps": 4, "train.batch_size": 8})
>>> folder = nb.train(recipe, f"{runs}/digits-netbooster")  # resumes; one method, one run
>>> model = nb.load(folder)
>>> model.labels
['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
>>> sorted(model.accuracy)
['test', 'train', 'val']
>>> answer = model.predict(f"{runs}/seven.png")  # a path, a Pillow image or an array of pixels
>>> answer.label in model.labels and 0.1 <= answer.score <= 1
True

The method alone works on any torch network, in a training loop of yours:

>>> import torch
>>> from torch import nn
>>> _ = torch.manual_seed(0)
>>> network = nn.Sequential(  # its 1x1 convolutions before a BN, or its MLPs, can grow
...     nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
...     nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Flatten(), nn.Linear(8 * 36, 2),
... )
>>> giant = nb.expand(network, nb.ExpansionConfig(ratio=6))
>>> optimizer = torch.optim.SGD(giant.parameters(), lr=0.01)
>>> def train_one_step():
...     images, labels = torch.randn(16, 3, 6, 6), torch.randint(2, (16,))
...     loss = nn.functional.cross_entropy(giant(images), labels)
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
>>> for _ in range(8):  # the giant, with all its activations
...     train_one_step()
>>> plt = nb.PLT(giant, steps=4)
>>> for _ in range(8):  # alpha to 1 within 4 steps, then tuning at alpha 1
...     train_one_step()
...     plt.step()
>>> tiny = nb.contract(giant)
>>> [t.shape for t in tiny.state_dict().values()] == [
...     t.shape for t in network.state_dict().values()]
True
>>> nb.contraction_error(giant, tiny, torch.randn(4, 3, 6, 6)) < 1e-4
True

Networks, methods and tasks of your own: :func:`netbooster.register` (networks),
``netbooster.methods.register`` and ``netbooster.tasks.register``.
:class:`netbooster.training.loop.Trainer` is the loop with checkpoints, AMP, EMA, gradient
accumulation and `torchrun`; it takes any network and any :class:`netbooster.data.Dataset`.

Importing this package loads no torch; what is used does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netbooster.common.errors import NetBoosterError
    from netbooster.experiment.recipe import Recipe, load_recipe
    from netbooster.experiment.run import train
    from netbooster.experiment.trained import TrainedNetwork, load
    from netbooster.giant.contraction import contract, contraction_error
    from netbooster.giant.expansion import ExpansionConfig, expand
    from netbooster.giant.plt import PLT
    from netbooster.models import build_model, model_names, register

__version__ = "0.1.0"

_HOMES = {
    "ExpansionConfig": "giant.expansion",
    "NetBoosterError": "common.errors",
    "PLT": "giant.plt",
    "Recipe": "experiment.recipe",
    "TrainedNetwork": "experiment.trained",
    "build_model": "models",
    "contract": "giant.contraction",
    "contraction_error": "giant.contraction",
    "expand": "giant.expansion",
    "load": "experiment.trained",
    "load_recipe": "experiment.recipe",
    "model_names": "models",
    "register": "models",
    "train": "experiment.run",
}

__all__ = [
    "PLT",
    "ExpansionConfig",
    "NetBoosterError",
    "Recipe",
    "TrainedNetwork",
    "build_model",
    "contract",
    "contraction_error",
    "expand",
    "load",
    "load_recipe",
    "model_names",
    "register",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
