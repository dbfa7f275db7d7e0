# SPDX-License-Identifier: Apache-2.0
"""Signed distance fields of every (face, character): rendered once, cached on disk.

A distance field instead of a bitmap lets the renderer change stroke weight, blur and outline of
each image with one subtraction, and stays sharp at any resolution.
"""

import contextlib
import hashlib
import os
import sys
from functools import cache
from pathlib import Path

import numpy as np

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import write_atomic
from netbooster.data.base import SplitName
from netbooster.data.demo.glyph_faces import CHARACTERS, Face, faces_of, font_path, outline

#: Pixels along one side of a glyph's field.
SIZE = 64
#: Half of the side of the square that a field covers. Unit: height of the face's own "H".
EXTENT = 0.95
#: What lies at the middle of the field: this far above the baseline. Unit as above.
MIDDLE = 0.45
#: Distances are clipped to +-LIMIT and stored as int8 steps of LIMIT / 127. Unit as above.
LIMIT = 0.3
#: Part of the cache key: raise it when the rendering changes.
_VERSION = 1


def pixel_centers() -> np.ndarray:
    """Coordinates float32 [SIZE] of the pixel centres along x (and, downward, along -y)."""
    return ((np.arange(SIZE, dtype=np.float32) + 0.5) * (2 / SIZE) - 1) * EXTENT


def distance_field(segments: np.ndarray) -> np.ndarray:
    """Signed distance float32 [SIZE, SIZE] (row 0 on top) to an outline; inside is positive.

    ``segments`` [S, 2, 2] are the closed outline's pieces, in units of the height of "H" with the
    origin at the field's middle. The inside follows the non-zero winding rule, as fonts do.
    """
    start = segments[:, 0].astype(np.float32)
    end = segments[:, 1].astype(np.float32)
    delta = end - start
    x = pixel_centers()
    y = -x
    to_x = x[:, None] - start[:, 0]  # [SIZE, S]
    to_y = y[:, None] - start[:, 1]
    length2 = (delta**2).sum(1)
    along = to_x[None] * (delta[:, 0] / length2) + (to_y * (delta[:, 1] / length2))[:, None]
    np.clip(along, 0, 1, out=along)  # [row, column, S]
    distance2 = (to_x[None] - along * delta[:, 0]) ** 2
    distance2 += (to_y[:, None] - along * delta[:, 1]) ** 2
    distance = np.sqrt(distance2.min(axis=2))

    # Each segment that crosses a row changes the winding of everything to the right of it.
    above_start = start[:, 1] > y[:, None]  # [row, S]
    above_end = end[:, 1] > y[:, None]
    turn = above_end.astype(np.int8) - above_start.astype(np.int8)
    rows, which = np.nonzero(turn)
    share = to_y[rows, which] / delta[which, 1]
    crossing = start[which, 0] + share * delta[which, 0]
    first = np.searchsorted(x, crossing)
    winding = np.zeros((SIZE, SIZE + 1), dtype=np.int32)
    np.add.at(winding, (rows, first), turn[rows, which])
    inside = np.cumsum(winding, axis=1)[:, :SIZE] != 0
    return np.where(inside, distance, -distance)


def _face_fields(face: Face) -> np.ndarray:
    """int8 [62, SIZE, SIZE], every character at the same scale and on the same baseline."""
    capital = outline(face, "H")[:, :, 1]
    baseline, height = capital.min(), np.ptp(capital)
    fields = np.empty((len(CHARACTERS), SIZE, SIZE), dtype=np.int8)
    for index, character in enumerate(CHARACTERS):
        segments = outline(face, character).copy()
        xs = segments[:, :, 0]
        segments[:, :, 0] = (xs - (xs.min() + xs.max()) / 2) / height
        segments[:, :, 1] = (segments[:, :, 1] - baseline) / height - MIDDLE
        field = distance_field(segments)
        fields[index] = np.rint(np.clip(field, -LIMIT, LIMIT) * (127 / LIMIT)).astype(np.int8)
    return fields


def hairlines(split: SplitName) -> np.ndarray:
    """Half the thickness float32 [faces] of the crossbar of each face's "H", in heights of "H"."""
    bar = atlas(split)[:, CHARACTERS.index("H"), :, SIZE // 2 - 1 : SIZE // 2 + 1]
    return bar.max(axis=(1, 2)).astype(np.float32) * (LIMIT / 127)


def cache_folder() -> Path:
    """Where rendered atlases are kept: $NETBOOSTER_CACHE or the platform's cache folder."""
    if chosen := os.environ.get("NETBOOSTER_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "netbooster"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "netbooster"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netbooster"


def _key(split: SplitName) -> str:
    digest = hashlib.sha256(repr((_VERSION, SIZE, EXTENT, MIDDLE, LIMIT, CHARACTERS)).encode())
    for face in faces_of(split):
        digest.update(repr(face).encode())
        digest.update(hashlib.sha256(font_path(face.file).read_bytes()).digest())
    return digest.hexdigest()


def _load(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached atlas, or None where it is absent or damaged (it is then rendered again)."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body, digest = content[:-32], content[-32:]
    if hashlib.sha256(body).digest() != digest or len(body) != int(np.prod(shape)):
        return None
    return np.frombuffer(body, dtype=np.int8).reshape(shape)


@cache
def atlas(split: SplitName) -> np.ndarray:
    """Distance fields int8 [faces, 62, SIZE, SIZE] of a split's faces (read-only, shared)."""
    faces = faces_of(split)
    shape = (len(faces), len(CHARACTERS), SIZE, SIZE)
    path = cache_folder() / f"glyphs-{split}-{_key(split)[:16]}.bin"
    cached = _load(path, shape)
    if cached is not None:
        return cached
    fields = np.stack([_face_fields(face) for face in faces])
    fields.setflags(write=False)
    body = fields.tobytes()
    # A cache that cannot be written costs seconds at the next start, nothing else.
    with contextlib.suppress(NetBoosterError):
        write_atomic(path, body + hashlib.sha256(body).digest())
    return fields
