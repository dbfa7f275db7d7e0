"""NetBooster: train tiny networks by expansion, progressive linearization and contraction.

The method works on any torch network; recipes and the command line are built from these parts:

>>> import torch
>>> from torch import nn
>>> from netbooster.giant.contraction import contract, contraction_error
>>> from netbooster.giant.expansion import ExpansionConfig, expand
>>> from netbooster.giant.plt import PLTSchedule, set_alpha
>>> _ = torch.manual_seed(0)
>>> def network(c):  # any nn.Module: its 1x1 convolutions before a BN, or its MLPs, can grow
...     return nn.Sequential(
...         nn.Conv2d(c, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
...         nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Flatten(), nn.Linear(8 * 36, 2),
...     )
>>> tiny = network(3)
>>> giant = expand(tiny, ExpansionConfig(ratio=6))
>>> optimizer = torch.optim.SGD(giant.parameters(), lr=0.01)
>>> def train(schedule):
...     for step in range(8):
...         set_alpha(giant, schedule.alpha(step) if schedule else 0.0)
...         images, labels = torch.randn(16, 3, 6, 6), torch.randint(2, (16,))
...         loss = nn.functional.cross_entropy(giant(images), labels)
...         optimizer.zero_grad()
...         loss.backward()
...         optimizer.step()
>>> train(None)            # the giant, with all its activations
>>> train(PLTSchedule(4))  # alpha to 1 within 4 steps, then tuning at alpha 1
>>> boosted = contract(giant)
>>> [t.shape for t in boosted.state_dict().values()] == [
...     t.shape for t in tiny.state_dict().values()]
True
>>> contraction_error(giant, boosted, torch.randn(4, 3, 6, 6)) < 1e-4
True

:class:`netbooster.training.loop.Trainer` is the loop with checkpoints, AMP, EMA, gradient
accumulation and `torchrun`; it takes any network and any :class:`netbooster.data.Dataset`.
"""

__version__ = "0.1.0"
