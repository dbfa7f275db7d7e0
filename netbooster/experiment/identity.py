# SPDX-License-Identifier: Apache-2.0
"""Which keys of a recipe decide the weights that come out of it."""

from typing import Any

from netbooster.experiment.recipe_files import NAMED

_BOOKKEEPING = (
    "recompute",
    "threads",
    "log_every",
    "eval_every",
    "eval_images",
    "checkpoint_every",
    "checkpoint_seconds",
)


def decisive(dump: dict[str, Any]) -> dict[str, Any]:
    """A dumped recipe, and those inside it, without what leaves the weights as they are."""
    kept = {key: value for key, value in dump.items() if key not in ("name", "quantization")}
    kept.pop("emulate", None)
    kept["train"] = {k: v for k, v in dump["train"].items() if k not in _BOOKKEEPING}
    kept["data"] = {k: v for k, v in dump["data"].items() if k not in ("root", "workers")}
    for section, key in NAMED:
        if key in kept.get(section, {}):
            kept[section] = {**kept[section], key: decisive(kept[section][key])}
    return kept
