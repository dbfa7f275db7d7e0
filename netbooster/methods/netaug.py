# SPDX-License-Identifier: Apache-2.0
"""NetAug (Cai et al., 2022): the tiny network is trained as a part of wider ones.

The wide network has the base network's modules with more channels. Its first channels are the base
network; each step adds the loss of the base network and of one augmented network, drawn at random,
whose weights contain the base network's. In the end the base network is cut out.

Read from the paper and its released code: widths and inner widths are drawn for each block from
short lists; in the second half of training only inner widths are; at the start of each epoch before
that, each block's inner channels are sorted by importance, so that the base network takes the most
important ones; convolutions start by PyTorch's default (uniform) rule; BN statistics of the base
network are measured anew on training images in the end.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.sections import Section
from netbooster.data import Dataset
from netbooster.methods.base import Job, Kept, Method, register
from netbooster.models.layers import (
    ConvBnAct,
    ImageClassifier,
    InvertedResidual,
    make_divisible,
)
from netbooster.training.objective import Loss, Objective, TaskLoss

WidthFactor = Annotated[float, Field(ge=1, le=8)]
Draw = Callable[[Sequence[float]], float]
"""A choice among factors."""


#: Tensors of a block that have its inner channels, with the axis on which they lie.
_INNER = (
    ("project.conv.weight", 1),
    *(
        (f"{layer}.{tensor}", 0)
        for layer in ("expand", "depthwise")
        for tensor in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    ),
)


class NetAugConfig(Section):
    """Width augmentation (Cai et al., 2022); the defaults are its released settings.

    Attributes:
        width_factors: widths of every layer that an augmented network may have, over the base
            network's; the first is 1.
        expansion_factors: the same for the inner width of each inverted residual block.
        loss_weight: alpha in loss(base) + alpha * loss(augmented).
        width_share: share of the steps in which widths are augmented; afterwards only the blocks'
            inner widths are.
        sort_channels: whether each epoch of that share begins by moving the inner channels of the
            largest L1 norm to the front, into the base network.
        bn_images: training images from which the base network's BN statistics are taken.
    """

    width_factors: tuple[WidthFactor, ...] = (1.0, 1.8, 2.6)
    expansion_factors: tuple[WidthFactor, ...] = (1.0, 1.6, 2.2, 2.8)
    loss_weight: float = Field(default=1.0, gt=0)
    width_share: float = Field(default=0.5, ge=0, le=1)
    sort_channels: bool = True
    bn_images: int = Field(default=2048, ge=2)


class SlicedConv2d(nn.Conv2d):
    """A convolution of which the first ``active`` output channels compute.

    Input channels are as many as the input has. A depthwise convolution keeps its input's.
    """

    active: int

    def __init__(self, conv: nn.Conv2d, in_channels: int, out_channels: int) -> None:
        depthwise = conv.groups > 1
        super().__init__(
            in_channels,
            out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            groups=in_channels if depthwise else 1,
            bias=False,
        )
        self.depthwise = depthwise
        self.active = out_channels

    def forward(self, x: Tensor) -> Tensor:
        given = x.shape[1]
        if self.depthwise:
            weight, groups = self.weight[:given], given
        else:
            weight, groups = self.weight[: self.active, :given], 1
        return F.conv2d(x, weight, None, self.stride, self.padding, groups=groups)


class SlicedBatchNorm2d(nn.BatchNorm2d):
    """BN on the first channels; statistics move only while ``moving``, for the base network."""

    moving = True

    def forward(self, x: Tensor) -> Tensor:
        given = x.shape[1]
        assert self.running_mean is not None and self.running_var is not None
        mean, variance = self.running_mean[:given], self.running_var[:given]
        momentum = self.momentum or 0.0
        if self.training and self.moving:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        if self.training and not self.moving:
            return F.batch_norm(
                x, None, None, self.weight[:given], self.bias[:given], True, 0.0, self.eps
            )
        return F.batch_norm(
            x,
            mean,
            variance,
            self.weight[:given],
            self.bias[:given],
            self.training,
            momentum,
            self.eps,
        )


class SlicedLinear(nn.Linear):
    """A linear layer that takes as many features as come."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight[:, : x.shape[1]], self.bias)


class NetAugNetwork(nn.Module):
    """The widest network around a base network, of which any augmented one is a part.

    Args:
        base: MobileNetV2 or MCUNet; it is copied, and its weights are not taken over: the wide
            network draws its own, as the released code does.

    Raises:
        NetBoosterError: another kind of network.
    """

    def __init__(self, base: nn.Module, config: NetAugConfig) -> None:
        super().__init__()
        if not isinstance(base, ImageClassifier):
            raise NetBoosterError(
                f"netaug cannot widen {type(base).__name__}; use a MobileNetV2 or MCUNet"
            )
        if config.width_factors[0] != 1 or config.expansion_factors[0] != 1:
            raise NetBoosterError(
                "netaug.width_factors and expansion_factors must begin with 1, the base network"
            )
        self.config = config
        self.base_shapes = {name: t.shape for name, t in base.state_dict().items()}
        self._base = [copy.deepcopy(base)]  # in a list, so that it is not a part of this module
        self.network = copy.deepcopy(base)
        self._widen()
        self.set_base()

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → logits [N, classes] of the network that is active."""
        return self.network(x)

    def set_base(self) -> None:
        """Make the base network the active one."""
        self._activate(lambda factors: factors[0], lambda factors: factors[0], moving=True)

    def set_random(self, generator: torch.Generator, *, widths: bool) -> None:
        """Draw an augmented network.

        Args:
            generator: a CPU generator.
            widths: also the blocks' outer widths, not only their inner ones.
        """

        def draw(factors: Sequence[float]) -> float:
            return factors[int(torch.randint(len(factors), (), generator=generator))]

        def first(factors: Sequence[float]) -> float:
            return factors[0]

        self._activate(draw if widths else first, draw, moving=False)

    @torch.no_grad()
    def sort_channels(self, average: dict[str, Tensor] | None = None) -> None:
        """Bring each block's inner channels into descending order of importance.

        Importance is the L1 norm of the weights that read the channel. No output changes but by
        rounding where the widest network is active; in the base network other channels may be.
        The optimizer's momentum stays where it is, as in the released code.

        Args:
            average: a moving average of this module's weights, which is brought into the same
                order: it averages channels, not places.
        """
        own = self.state_dict()
        for name, block in self.network.blocks.named_children():
            assert isinstance(block, InvertedResidual)
            if block.expand is None:
                continue  # its inner channels are the layer's before it
            order = block.project.conv.weight.abs().sum((0, 2, 3)).argsort(descending=True)
            for state in (own, average or {}):
                for key, axis in _INNER:
                    if (tensor := state.get(f"network.blocks.{name}.{key}")) is not None:
                        tensor.copy_(tensor.index_select(axis, order))

    def cut_out(self) -> nn.Module:
        """The base network, of its original class, with the first channels' weights."""
        base = copy.deepcopy(self._base[0])
        own = self.network.state_dict()
        base.load_state_dict(
            {
                name: own[name][tuple(slice(size) for size in shape)].detach().cpu().clone()
                for name, shape in self.base_shapes.items()
            }
        )
        return base

    def _blocks(self) -> Iterator[InvertedResidual]:
        for block in self.network.blocks:
            assert isinstance(block, InvertedResidual)
            yield block

    def _widen(self) -> None:
        widest = max(self.config.width_factors)
        deepest = max(self.config.expansion_factors)
        net = self.network
        stem = net.stem
        assert isinstance(stem, ConvBnAct)
        self._widths: dict[nn.Module, int] = {stem: stem.conv.out_channels}
        self._inner: dict[nn.Module, float] = {}
        current = make_divisible(stem.conv.out_channels * widest, 1)
        _replace(stem, stem.conv.in_channels, current)
        for block in self._blocks():
            self._widths[block] = block.project.conv.out_channels
            hidden = current
            if block.expand is not None:
                ratio = block.expand.conv.out_channels / block.expand.conv.in_channels
                self._inner[block] = ratio
                hidden = make_divisible(current * ratio * deepest, 1)
                _replace(block.expand, current, hidden)
            _replace(block.depthwise, hidden, hidden)
            current = make_divisible(self._widths[block] * widest, 1)
            _replace(block.project, hidden, current)
        if net.head is not None:
            assert isinstance(net.head, ConvBnAct)
            self._widths[net.head] = net.head.conv.out_channels
            out = make_divisible(net.head.conv.out_channels * widest, 1)
            _replace(net.head, current, out)
            current = out
        classifier = net.classifier
        net.classifier = SlicedLinear(current, classifier.out_features)
        nn.init.normal_(net.classifier.weight, 0.0, 0.01)
        nn.init.zeros_(net.classifier.bias)

    def _activate(self, width: Draw, inner: Draw, *, moving: bool) -> None:
        for module in self.network.modules():
            if isinstance(module, SlicedBatchNorm2d):
                module.moving = moving
        stem, head = self.network.stem, self.network.head
        assert isinstance(stem, ConvBnAct)
        current = self._drawn(stem, width)
        _set_active(stem, current)
        for block in self._blocks():
            out = current if block.shortcut else self._drawn(block, width)
            if block.expand is not None:
                factor = inner(self.config.expansion_factors)
                hidden = make_divisible(current * self._inner[block] * factor, 1)
                _set_active(block.expand, hidden)
            _set_active(block.project, out)
            current = out
        if head is not None:
            assert isinstance(head, ConvBnAct)
            _set_active(head, self._drawn(head, width))

    def _drawn(self, layer: nn.Module, width: Draw) -> int:
        return make_divisible(self._widths[layer] * width(self.config.width_factors), 1)


class NetAugLoss(Objective):
    """loss(base) + weight * loss(augmented), one augmented network a step.

    Args:
        seed: of the draws; the draw of a step depends on it and the step alone.
        epoch_steps: steps between two sortings of the channels.
    """

    def __init__(
        self,
        config: NetAugConfig,
        *,
        seed: int,
        total_steps: int,
        epoch_steps: int,
        loss: Loss,
    ) -> None:
        self.config = config
        self.seed = seed
        self.width_steps = round(config.width_share * total_steps)
        self.epoch_steps = max(1, epoch_steps)
        self._loss = TaskLoss(loss)

    def begin_step(self, model: nn.Module, step: int, average: dict[str, Tensor] | None) -> None:
        assert isinstance(model, NetAugNetwork)
        early = step < self.width_steps
        if self.config.sort_channels and early and step % self.epoch_steps == 0:
            model.sort_channels(average)

    def __call__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(model, NetAugNetwork)
        widths = step < self.width_steps
        model.set_base()
        base, logits = self._loss(model, inputs, targets, step)
        model.set_random(self.generator(step), widths=widths)
        augmented, _ = self._loss(model, inputs, targets, step)
        model.set_base()
        return base + self.config.loss_weight * augmented, logits

    def generator(self, step: int) -> torch.Generator:
        """What draws the augmented network of a step."""
        return torch.Generator().manual_seed((self.seed << 32) + step)


@register
class NetAug(Method):
    """The wide network trains; the base network is cut out in the end."""

    name = "netaug"
    sections = ("netaug",)

    def __init__(self, job: Job) -> None:
        self.job = job
        self.config = job.recipe.settings(NetAugConfig)
        images = job.dataset.split_size("train")
        self.model = NetAugNetwork(job.network(), self.config)
        self.objective = NetAugLoss(
            self.config,
            seed=job.recipe.seed,
            total_steps=job.steps,
            epoch_steps=round(images / job.recipe.train.batch_size),
            loss=job.loss,
        )

    def finish(self, trained: nn.Module) -> Kept:
        assert isinstance(trained, NetAugNetwork)
        base = trained.cut_out().to(self.job.device)
        measure_bn(base, self.job.dataset, self.config.bn_images, self.job.device)
        return Kept(base)


@torch.no_grad()
def measure_bn(model: nn.Module, dataset: Dataset, images: int, device: torch.device) -> None:
    """Replace BN statistics by those over the first ``images`` fixed training images."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    model.train()
    for batch, _ in dataset.split("train", limit=images):
        if len(batch) > 1:
            model(dataset.preprocess.normalize(batch.to(device)))
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _replace(layer: ConvBnAct, in_channels: int, out_channels: int) -> None:
    conv, bn = layer.conv, layer.bn
    layer.conv = SlicedConv2d(conv, in_channels, out_channels)
    layer.bn = SlicedBatchNorm2d(out_channels, eps=bn.eps, momentum=bn.momentum)


def _set_active(layer: ConvBnAct, channels: int) -> None:
    assert isinstance(layer.conv, SlicedConv2d)
    layer.conv.active = channels
