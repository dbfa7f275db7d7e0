# SPDX-License-Identifier: Apache-2.0
"""Test images for the page: as PNG inside a data URI."""

import base64
import io

import numpy as np
from PIL import Image

from deploy.core.errors import DeployError

PNG_MARK = b"\x89PNG\r\n\x1a\n"


def data_uri(image: bytes | np.ndarray) -> str:
    """A PNG data URI of ``image``.

    Args:
        image: PNG bytes, or uint8 pixels [H, W], [C, H, W] or [H, W, C] with 1 or 3 channels.

    Raises:
        DeployError: neither of these.
    """
    if isinstance(image, np.ndarray):
        image = _encode(image)
    if not image.startswith(PNG_MARK):
        raise DeployError("a sample image is neither PNG bytes nor a uint8 array; pass one of them")
    return "data:image/png;base64," + base64.b64encode(image).decode()


def _encode(pixels: np.ndarray) -> bytes:
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[2] not in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not fits or 0 in pixels.shape:
        raise DeployError(
            f"a sample image is {pixels.dtype} of shape {pixels.shape}; pass uint8 [H, W] or "
            "[C, H, W] with 1 or 3 channels"
        )
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return stream.getvalue()
