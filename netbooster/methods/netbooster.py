# SPDX-License-Identifier: Apache-2.0
"""NetBooster: expand the network, train the giant, linearize it (PLT), contract it."""

import copy
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.sections import NotNegative, Positive, Section, Share
from netbooster.data import Dataset
from netbooster.giant.contraction import contract, contraction_error, enlarged_kernels
from netbooster.giant.expansion import ExpansionConfig, expand
from netbooster.methods.base import Job, Kept, Method, Need, RecipeLike, register
from netbooster.methods.transfer import start_from_giant
from netbooster.training.checkpoint import load_torch, portable_state, state_digest
from netbooster.training.networks import GIANT
from netbooster.training.objective import TaskLoss
from netbooster.training.phases import Phase

MAX_CONTRACTION_ERROR = 1e-4
"""Largest relative difference between the linearized giant and the contracted network."""
MAX_MERGING_ERROR = 1e-9
"""The same in float64, where rounding is no excuse."""
ROUNDING_FACTOR = 16
"""How much farther from the exact result than the giant the contracted network may be in float32:
what the giant's inner BNs subtract on the way, the one merged layer subtracts at its end."""
CONTRACTION_IMAGES = 64
"""Validation images on which that difference is measured."""


class NetBoosterConfig(Section):
    """Expand, train the giant, linearize it (PLT), contract it."""

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


def build_giant(job: Job) -> nn.Module:
    """The recipe's network, freshly initialized and expanded."""
    expansion = job.recipe.settings(NetBoosterConfig).expansion
    return expand(job.network(), expansion, example_input=job.dataset.preprocess.example())


@register
class NetBooster(Method):
    """The paper's method. On a target data set the source's giant is tuned by PLT alone."""

    name = "netbooster"
    sections: ClassVar[tuple[str, ...]] = ("netbooster",)
    grows = True
    transfers = True

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = build_giant(job)
        self.objective = TaskLoss(job.loss)
        start_from_giant(self.model, job)

    @classmethod
    def check(cls, recipe: RecipeLike) -> None:
        super().check(recipe)
        if recipe.source is not None and recipe.source.source is not None:
            raise ValueError(
                f"{recipe.source.name} is tuned by PLT itself, which leaves no giant to go "
                "on from; name the recipe that trains the giant"
            )

    @classmethod
    def needs(cls, recipe: RecipeLike) -> list[Need]:
        return [Need(recipe.source, GIANT)] if recipe.source is not None else []

    @classmethod
    def phases(cls, recipe: RecipeLike, total: int) -> list[Phase]:
        """The giant's training and PLT (section 4.1); with a source, PLT alone (section 4.3)."""
        train, boost = recipe.train, recipe.settings(NetBoosterConfig)
        if recipe.source is not None:
            return [_plt_phase(boost, 0, total)]
        giant = min(max(1, round(boost.giant_share * total)), total - 1)
        if giant < 1:
            raise NetBoosterError(
                f"recipe {recipe.name}: {total} step is too short for giant and PLT; raise "
                "train.steps"
            )
        first = Phase(
            "giant",
            0,
            giant,
            boost.giant_lr or train.lr,
            final_lr=boost.giant_final_lr,
            warmup_steps=round(train.warmup * giant),
            lr_key="netbooster.giant_lr",
            keeps=GIANT,
        )
        return [first, _plt_phase(boost, giant, total - giant)]

    def described(self) -> dict[str, Any]:
        settings = self.job.recipe.settings(NetBoosterConfig)
        return {"expansion": settings.expansion.model_dump(mode="json")}

    def finish(self, trained: nn.Module) -> Kept:
        """Contract the linearized giant, and make sure that it is the same function.

        The result's file says ``contraction_error`` (largest relative difference of the outputs,
        on validation images) and, where the giant was kept, its score.

        Raises:
            NetBoosterError: a layer cannot be merged, or the difference exceeds 1e-4.
        """
        # A fresh giant has torch's own memory format, whatever training used.
        giant = build_giant(self.job)
        giant.load_state_dict(portable_state(trained))
        hashes = {"giant": state_digest(portable_state(giant))}
        contracted, error = contract_checked(giant, self.job.dataset)
        extra: dict[str, Any] = {"contraction_error": error}
        if kernels := enlarged_kernels(giant):
            extra["enlarged_kernels"] = kernels
        return Kept(contracted, extra | self._giant_score(), hashes)

    def _giant_score(self) -> dict[str, Any]:
        path = (self.job.folder or Path()) / GIANT
        if self.job.folder is None or not path.is_file():
            return {}
        metric = self.job.task.metric
        return {f"giant_{metric}": load_torch(path, "run `netbooster train` again")[metric]}


def contract_checked(giant: nn.Module, dataset: Dataset) -> tuple[nn.Module, float]:
    """The contracted network, and its largest relative difference from the linearized giant.

    Both are compared in eval mode on validation images. A giant that has trained for a few steps
    only may amplify the rounding of float32 beyond any fixed bound; then the comparison in float64
    decides, and that the contracted network stays near its result, measured by the giant itself.

    Raises:
        NetBoosterError: a layer cannot be merged, or the difference exceeds 1e-4.
    """
    giant = giant.cpu().eval()
    contracted = contract(giant).eval()
    images, _ = next(iter(dataset.split("val", limit=CONTRACTION_IMAGES)))
    inputs = dataset.preprocess.normalize(images.cpu())
    error = contraction_error(giant, contracted, inputs)
    if not error <= MAX_CONTRACTION_ERROR:  # also refuses nan
        exact = copy.deepcopy(giant).double()
        merging = contraction_error(exact, contract(exact), inputs)
        rounding = contraction_error(exact, giant, inputs)
        rounded = contraction_error(exact, contracted, inputs)
        if not (merging <= MAX_MERGING_ERROR and rounded <= ROUNDING_FACTOR * rounding):
            raise NetBoosterError(
                f"contracted network {dataset.name}: differs from the linearized giant by "
                f"{error:.1e} relative, more than {MAX_CONTRACTION_ERROR:g} (in float64 by "
                f"{merging:.1e}; the giant's own rounding is {rounding:.1e}): train longer "
                "(train.steps), on larger batches or with a lower netbooster.plt_lr"
            )
    return contracted, error


def _plt_phase(boost: NetBoosterConfig, first: int, steps: int) -> Phase:
    return Phase(
        "plt",
        first,
        steps,
        boost.plt_lr,
        warmup_steps=round(boost.plt_warmup * steps),
        decay_steps=round(boost.decay_share * steps),
        lr_key="netbooster.plt_lr",
    )
