# SPDX-License-Identifier: Apache-2.0
"""What the tests of data sets share."""

import pytest


@pytest.fixture(autouse=True)
def one_cache(tmp_path_factory, monkeypatch):
    """Glyph atlases of the tests go to one temporary cache, not the user's."""
    folder = tmp_path_factory.getbasetemp() / "glyph-cache"
    monkeypatch.setenv("NETBOOSTER_CACHE", str(folder))
