# SPDX-License-Identifier: Apache-2.0
"""What the tests of training share."""

from typing import Any

import pytest
import torch

from netbooster.experiment import run


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracy on 16 images of each split, where training is too short for accuracy to matter."""
    whole = run.evaluate_splits

    def few(model: torch.nn.Module, dataset: Any, **options: Any) -> dict[str, float]:
        original = dataset.split
        dataset.split = lambda name, limit=None: original(name, limit=16)
        try:
            return whole(model, dataset, **options)
        finally:
            dataset.split = original

    monkeypatch.setattr(run, "evaluate_splits", few)
