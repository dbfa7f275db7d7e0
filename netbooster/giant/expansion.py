# SPDX-License-Identifier: Apache-2.0
"""From a tiny network to its giant: which layers grow, and into which block (Section 3.3).

Layers are found by tracing, not by class name. In the paper's networks the layer that grows is the
pointwise convolution that opens an inverted residual or bottleneck block; a network without such
blocks offers its pointwise convolutions that a BN follows, or the first linear layer of its MLPs.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.giant.expanded import EXPANDED, BlockType, ExpandedConv, ExpandedLinear
from netbooster.giant.initialization import initialize_conv, initialize_linear
from netbooster.giant.tracing import Step, repeated_names, trace_steps

CandidateKind = Literal["block", "pointwise", "mlp"]


class ExpansionConfig(BaseModel):
    """Every choice of the expansion; the defaults are the paper's.

    Attributes:
        block: what replaces a layer (Table 4).
        where: which candidates grow (Table 5); a list names layers, modules that hold exactly
            one candidate ("blocks.3"), or indices of candidates.
        count: how many (Figure 3); None is half of the candidates, rounded up.
        ratio: inner channels over input channels (Table 6).
        candidates: which layers may grow: the first 1x1 convolution of each block, every 1x1
            convolution that a BN follows, or the first layer of each MLP. "auto" takes the first
            of these kinds that the network has.
        kernel: of the inverted residual's depthwise convolution; above 1 the contracted layer
            has this kernel, too, and a larger budget.
        allow_larger_kernel: leave to enlarge the receptive field.
        init: "linear" starts the block as nearly the linear map that it will become: composed
            weights equal the replaced layer's, activations work in their linear range.
            "default" draws every convolution by He's rule, as a network of its own would.
        bn_bias_init: bias of the block's BNs; "auto" is 3.0 (the middle of ReLU6's linear range)
            with init "linear" and 0.0 with "default".
        bn_weight_init: weight of the block's BNs; smaller values stay deeper in the linear range.
        weight_gain: factor on the block's convolution weights; BN hides it from the output, but
            larger weights learn more slowly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: BlockType = "inverted_residual"
    where: Literal["uniform", "first", "middle", "last"] | list[int | str] = "uniform"
    count: int | None = Field(default=None, ge=1)
    ratio: int = Field(default=6, ge=1)
    candidates: Literal["auto", "block", "pointwise", "mlp"] = "auto"
    kernel: int = Field(default=1, ge=1)
    allow_larger_kernel: bool = False
    init: Literal["linear", "default"] = "linear"
    bn_bias_init: float | Literal["auto"] = "auto"
    bn_weight_init: float = Field(default=1.0, gt=0)
    weight_gain: float = Field(default=1.0, gt=0)

    @property
    def bn_bias(self) -> float:
        """``bn_bias_init`` with "auto" resolved."""
        if self.bn_bias_init == "auto":
            return 3.0 if self.init == "linear" else 0.0
        return self.bn_bias_init


@dataclass(frozen=True)
class Candidate:
    """A layer that can grow.

    Attributes:
        name: qualified name of the convolution or linear layer.
        bn: qualified name of the BN that follows and absorbs the merged bias, if one does.
        activation: what follows that; the block's inner activations are copies of it.
    """

    name: str
    kind: CandidateKind
    bn: str | None
    activation: nn.Module | None


def find_candidates(
    model: nn.Module,
    kind: Literal["auto", "block", "pointwise", "mlp"] = "auto",
    *,
    example_input: torch.Tensor | None = None,
) -> list[Candidate]:
    """Layers of a network that can grow, in order of execution.

    Raises:
        NetBoosterError: the network cannot be traced.
    """
    return _of_kind(_all_candidates(trace_steps(model, example_input)), kind)


def expand(
    model: nn.Module,
    config: ExpansionConfig,
    *,
    example_input: torch.Tensor | None = None,
) -> nn.Module:
    """The giant of a network: a copy in which the chosen layers are replaced by blocks.

    New weights are drawn from torch's global generator; all other weights are kept.

    Args:
        example_input: one input batch, needed only if torch.fx cannot trace the network.

    Raises:
        NetBoosterError: a layer does not exist or cannot grow, no layer can, or a kernel above 1
            without ``allow_larger_kernel``.
    """
    if any(isinstance(module, EXPANDED) for module in model.modules()):
        raise NetBoosterError(f"{type(model).__name__} is expanded already; contract it first")
    if config.kernel > 1 and not config.allow_larger_kernel:
        raise NetBoosterError(
            f"kernel {config.kernel} enlarges the receptive field and the contracted network; "
            "set allow_larger_kernel = true if that is meant"
        )
    if config.kernel % 2 == 0 or (config.kernel > 1 and config.block != "inverted_residual"):
        raise NetBoosterError(
            f"kernel {config.kernel} with block '{config.block}': only the inverted residual "
            "block has a depthwise convolution, and its kernel must be odd"
        )
    steps = trace_steps(model, example_input)
    chosen = _choose(model, steps, config)
    giant = copy.deepcopy(model)
    for candidate in chosen:
        _replace(giant, candidate, config)
    return giant


def expanded_layers(model: nn.Module) -> list[tuple[str, ExpandedConv | ExpandedLinear]]:
    """The blocks that stand in for layers, with their qualified names."""
    return [(name, m) for name, m in model.named_modules() if isinstance(m, EXPANDED)]


def _all_candidates(steps: list[Step]) -> list[Candidate]:
    repeated = repeated_names(steps)
    found = []
    for step in steps:
        candidate = _describe(step)
        if candidate is None or candidate.name in repeated or candidate.bn in repeated:
            continue
        found.append(candidate)
    return found


def _describe(step: Step) -> Candidate | None:
    """What a layer is to expansion, None if it cannot grow."""
    layer = step.module
    if step.name is None or not step.called:
        return None
    # Not their subclasses: the contracted network gets back a layer of the original's class.
    if type(layer) is nn.Conv2d:
        if layer.kernel_size != (1, 1) or layer.groups != 1 or layer.padding_mode != "zeros":
            return None
        bn = step.only_reader()
        if bn is None or not isinstance(bn.module, nn.BatchNorm2d | nn.SyncBatchNorm):
            return None
        activation, act = bn.activated() or (None, None)
        after = None if act is None else _next_layer(act)
        opens = (
            after is not None
            and isinstance(after.module, nn.Conv2d)
            and max(after.module.kernel_size) > 1
            and layer.stride == (1, 1)
        )
        return Candidate(step.name, "block" if opens else "pointwise", bn.name, activation)
    if type(layer) is nn.Linear:
        activation, act = step.activated() or (None, None)
        after = None if act is None else _next_layer(act)
        if after is not None and isinstance(after.module, nn.Linear):
            return Candidate(step.name, "mlp", None, activation)
    return None


def _next_layer(step: Step) -> Step | None:
    after = step.only_reader()
    while after is not None and after.transparent:
        after = after.only_reader()
    return after


def _of_kind(found: list[Candidate], kind: str) -> list[Candidate]:
    kinds = ("block", "pointwise", "mlp") if kind == "auto" else (kind,)
    for wanted in kinds:
        # a block's first convolution is a pointwise convolution, too
        names = ("block", "pointwise") if wanted == "pointwise" else (wanted,)
        matching = [c for c in found if c.kind in names]
        if matching:
            return matching
    return []


def _choose(model: nn.Module, steps: list[Step], config: ExpansionConfig) -> list[Candidate]:
    everything = _all_candidates(steps)
    offered = _of_kind(everything, config.candidates)
    if isinstance(config.where, list):
        if config.count is not None:
            raise NetBoosterError("count does not go with an explicit list of layers; leave it out")
        return _named(model, everything, offered, config.where)
    if not offered:
        raise NetBoosterError(
            f"{type(model).__name__} has no layer of kind '{config.candidates}' that can grow: "
            "a 1x1 convolution followed by BN, or the first linear layer of an MLP; "
            "name layers explicitly"
        )
    count = math.ceil(len(offered) / 2) if config.count is None else config.count
    if count > len(offered):
        raise NetBoosterError(
            f"count {count} is more than the {len(offered)} layers of {type(model).__name__} "
            "that can grow"
        )
    return [offered[i] for i in choose_indices(config.where, count, len(offered))]


def choose_indices(where: str, count: int, total: int) -> list[int]:
    """Indices of ``count`` out of ``total`` candidates; "uniform" of 8 in 16 is 0, 2, …, 14."""
    if where == "uniform":
        return [math.ceil(i * total / count) for i in range(count)]
    start = {"first": 0, "middle": (total - count) // 2, "last": total - count}[where]
    return list(range(start, start + count))


def _named(
    model: nn.Module,
    everything: list[Candidate],
    offered: list[Candidate],
    where: Sequence[int | str],
) -> list[Candidate]:
    modules = dict(model.named_modules())
    by_name = {c.name: c for c in everything}
    chosen: list[Candidate] = []
    for item in where:
        if isinstance(item, int):
            if not 0 <= item < len(offered):
                raise NetBoosterError(
                    f"no candidate {item}: {type(model).__name__} has {len(offered)} "
                    f"layers that can grow, 0 to {len(offered) - 1}"
                )
            candidate = offered[item]
        elif item in by_name:
            candidate = by_name[item]
        elif item in modules:
            inside = [c for c in offered if c.name.startswith(f"{item}.")]
            if len(inside) != 1:
                raise NetBoosterError(_why_not(item, modules[item], len(inside)))
            candidate = inside[0]
        else:
            known = ", ".join(c.name for c in offered[:3])
            raise NetBoosterError(
                f"no layer '{item}' in {type(model).__name__}; layers that can grow: {known}, …"
            )
        if candidate in chosen:
            raise NetBoosterError(f"layer '{candidate.name}' is listed twice")
        chosen.append(candidate)
    if not chosen:
        raise NetBoosterError("the list of layers to expand is empty")
    return chosen


def _why_not(name: str, module: nn.Module, inside: int) -> str:
    if isinstance(module, nn.Conv2d | nn.Linear) and type(module) not in (nn.Conv2d, nn.Linear):
        return (
            f"layer '{name}' is a {type(module).__name__}; only plain Conv2d and Linear layers can "
            "grow, whose class contraction can give back"
        )
    if isinstance(module, nn.Conv2d):
        if module.kernel_size != (1, 1) or module.groups != 1:
            return (
                f"layer '{name}' has kernel {module.kernel_size} and {module.groups} groups; only "
                "1x1 convolutions with one group can grow"
            )
        return (
            f"layer '{name}' cannot grow: it runs more than once, does not pad with zeros, or no "
            "BN alone reads its output, so that nothing could absorb the merged bias"
        )
    if isinstance(module, nn.Linear):
        return f"layer '{name}' is not the first linear layer of an MLP; it cannot grow"
    return f"'{name}' holds {inside} layers that can grow, not one; name the layer itself"


def _replace(giant: nn.Module, candidate: Candidate, config: ExpansionConfig) -> None:
    layer = giant.get_submodule(candidate.name)
    activation = candidate.activation if candidate.activation is not None else nn.ReLU()
    block: ExpandedConv | ExpandedLinear
    if isinstance(layer, nn.Linear):
        block = ExpandedLinear(layer, ratio=config.ratio, activation=activation)
        initialize_linear(block, layer, config.init, config.bn_bias)
    else:
        assert isinstance(layer, nn.Conv2d) and candidate.bn is not None
        bn = giant.get_submodule(candidate.bn)
        assert isinstance(bn, nn.modules.batchnorm._BatchNorm)
        block = ExpandedConv(
            layer,
            block=config.block,
            ratio=config.ratio,
            activation=activation,
            bn=bn,
            following_bn=_relative(candidate.name, candidate.bn),
            kernel=config.kernel,
        )
        initialize_conv(
            block, layer, config.init, config.bn_bias, config.bn_weight_init, config.weight_gain
        )
    block.train(layer.training)
    giant.set_submodule(candidate.name, block)


def _relative(name: str, target: str) -> tuple[int, str]:
    """Path from one module to another: levels up, then names down."""
    here, there = name.split("."), target.split(".")
    shared = 0
    while shared < min(len(here), len(there)) and here[shared] == there[shared]:
        shared += 1
    return len(here) - shared, ".".join(there[shared:])
