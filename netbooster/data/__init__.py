# SPDX-License-Identifier: Apache-2.0
"""Data sets by name.

A data set is a module with one class built from ``(DataConfig, Preprocess)`` and one entry in the
table below. Modules load late, because some pull in heavy packages.
"""

from collections.abc import Callable

from netbooster.common.errors import NetBoosterError
from netbooster.data.base import Batch, Dataset, Preprocess, SplitName
from netbooster.data.config import DataConfig

__all__ = [
    "Batch",
    "DataConfig",
    "Dataset",
    "Preprocess",
    "SplitName",
    "dataset_names",
    "load_dataset",
]


def _digits(config: DataConfig, preprocess: Preprocess) -> Dataset:
    from netbooster.data.demo.digits import Digits

    return Digits(config, preprocess)


def _glyphs(config: DataConfig, preprocess: Preprocess) -> Dataset:
    from netbooster.data.demo.glyphs import Glyphs

    return Glyphs(config, preprocess)


def _folder(config: DataConfig, preprocess: Preprocess) -> Dataset:
    from netbooster.data.sources.folder import Folder

    return Folder(config, preprocess)


def _shards(config: DataConfig, preprocess: Preprocess) -> Dataset:
    from netbooster.data.sources.shards import Shards

    return Shards(config, preprocess)


def _published(config: DataConfig, preprocess: Preprocess) -> Dataset:
    from netbooster.data.sources.published import Published

    return Published(config, preprocess)


_FILES = frozenset({"root", "flip", "on_corrupt", "workers"})

#: Name -> (how to build it, the settings of DataConfig that it uses beyond the common ones,
#: the share of the shorter side that its evaluation crop keeps).
_DATASETS: dict[str, tuple[Callable[[DataConfig, Preprocess], Dataset], frozenset[str], float]] = {
    "cars": (_published, _FILES, 0.875),
    "cifar100": (_published, _FILES, 1.0),
    "digits": (_digits, frozenset({"augment"}), 1.0),
    "flowers102": (_published, _FILES, 0.875),
    "folder": (_folder, _FILES, 0.875),
    "food101": (_published, _FILES, 0.875),
    "glyphs": (_glyphs, frozenset({"difficulty", "characters"}), 1.0),
    "imagenet": (_published, _FILES, 0.875),
    "pets": (_published, _FILES, 0.875),
    "shards": (_shards, _FILES, 0.875),
}
_COMMON = frozenset({"name", "resolution", "channels", "seed", "mean", "std"})


def dataset_names() -> list[str]:
    """The names that ``load_dataset`` knows, sorted."""
    return sorted(_DATASETS)


def load_dataset(config: DataConfig) -> Dataset:
    """Build the data set that ``config`` names.

    Raises:
        NetBoosterError: unknown name, a setting that the data set does not use, or data that is
            missing or broken.
    """
    if config.name not in _DATASETS:
        raise NetBoosterError(
            f"data.name: unknown data set {config.name!r}; use one of {', '.join(dataset_names())}"
        )
    build, used, crop_fraction = _DATASETS[config.name]
    for key, field in DataConfig.model_fields.items():
        if key not in used | _COMMON and getattr(config, key) != field.default:
            raise NetBoosterError(
                f"data.{key}: the data set {config.name!r} does not use it; remove the key"
            )
    preprocess = Preprocess(
        resolution=config.resolution,
        channels=config.channels,
        mean=(config.mean,) * config.channels,
        std=(config.std,) * config.channels,
        crop_fraction=crop_fraction,
    )
    return build(config, preprocess)
