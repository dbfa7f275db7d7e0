# SPDX-License-Identifier: Apache-2.0
"""Draws batches of glyph images from distance fields, vectorised over the batch in torch.

Every random number comes from a CPU generator and travels to the device in small tables; warping,
clutter, colour and noise are a few dozen tensor operations there. Positions on the image run from
-1 to 1; positions on a glyph and stroke widths ("glyph units") are in heights of "H".
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from netbooster.data.demo import glyph_atlas
from netbooster.data.sampling import generator

#: Weights of red, green and blue in luminance (ITU-R BT.601, as Pillow's "L").
_LUMINANCE = (0.299, 0.587, 0.114)
#: Heights of "H" from the image's middle to its edge, before random scale.
_HALF_VIEW = 0.84
#: Half the thickness, in glyph units, below which no stroke is thinned.
_THINNEST = 0.022
_NEIGHBOURS = 2
_CLUTTER = 2
_LINES = 3
_COLUMNS = 96
#: Side of the coarse grid of random numbers that bending and shading interpolate.
_KNOTS = 4


class _Draw:
    """Hands out columns of a table of uniform numbers [N, _COLUMNS] in a fixed order."""

    def __init__(self, table: Tensor) -> None:
        self._table = table
        self._next = 0

    def uniform(self, low: float, high: float, count: int = 1) -> Tensor:
        """[N, count, 1, 1], even between ``low`` and ``high``."""
        columns = self._table[:, self._next : self._next + count]
        if columns.shape[1] != count:
            raise AssertionError(f"the renderer draws more than {_COLUMNS} numbers an image")
        self._next += count
        return (low + (high - low) * columns)[:, :, None, None]

    def chance(self, probability: float, count: int = 1) -> Tensor:
        """[N, count, 1, 1], 1.0 with the given probability, else 0.0."""
        return (self.uniform(0, 1, count) < probability).float()


@dataclass(frozen=True)
class GlyphSource:
    """What can be drawn: fields float32 [faces, classes, S, S] and half widths [faces, classes]."""

    fields: Tensor
    half_widths: Tensor
    #: Half the thickness of each face's thin strokes [faces].
    hairlines: Tensor

    @classmethod
    def build(
        cls, fields: np.ndarray, hairlines: np.ndarray, device: torch.device
    ) -> "GlyphSource":
        """From int8 fields, as the atlas has them, and their faces' hairlines."""
        columns = np.abs(glyph_atlas.pixel_centers())[None, None]
        half_widths = np.where((fields > 0).any(axis=2), columns, 0).max(axis=2)
        scaled = fields.astype(np.float32) * (glyph_atlas.LIMIT / 127)
        return cls(
            torch.from_numpy(scaled).to(device),
            torch.from_numpy(half_widths.astype(np.float32)).to(device),
            torch.from_numpy(hairlines.astype(np.float32)).to(device),
        )


class GlyphRenderer:
    """Renders labels of one split into uint8 images on one device."""

    def __init__(
        self,
        fields: np.ndarray,
        hairlines: np.ndarray,
        *,
        resolution: int,
        channels: int,
        difficulty: float,
        device: torch.device,
    ) -> None:
        self.device = device
        self.source = GlyphSource.build(fields, hairlines, device)
        self.faces, self.classes = fields.shape[:2]
        self.resolution = resolution
        self.channels = channels
        self.difficulty = difficulty
        self._luminance = torch.tensor(_LUMINANCE, device=device).view(1, 3, 1, 1)
        axis = (torch.arange(resolution, dtype=torch.float32) + 0.5) * (2 / resolution) - 1
        self._x = axis.view(1, 1, 1, -1).to(device)
        self._y = axis.view(1, 1, -1, 1).to(device)
        # Bicubic interpolation of a coarse grid as a matrix: far cheaper than F.interpolate.
        knots = torch.eye(_KNOTS)[None, :, :, None]
        self._spread = (
            F.interpolate(knots, (resolution, 1), mode="bicubic", align_corners=True)[0, :, :, 0]
            .T.contiguous()
            .to(device)
        )
        # Noise is a window into a fixed pool: drawing fresh normals would cost more than the rest.
        pixels = channels * resolution * resolution
        pool = np.random.Generator(np.random.Philox(2024)).standard_normal(
            max(2**19, 4 * pixels), dtype=np.float32
        )
        self._noise = torch.from_numpy(pool).to(device).unfold(0, pixels, 1)

    def render(self, labels: np.ndarray, key: tuple[int, ...]) -> Tensor:
        """Images uint8 [N, channels, R, R] of ``labels`` int64 [N].

        They depend on both arguments only.
        """
        rng = generator(*key)
        count = len(labels)
        draw = _Draw(torch.from_numpy(rng.random((count, _COLUMNS), np.float32)).to(self.device))
        others = 1 + _NEIGHBOURS + _CLUTTER
        faces = rng.integers(self.faces, size=(count, others))
        # Neighbours stand in the same line of print, so they share the face of the glyph.
        faces[:, 1 : 1 + _NEIGHBOURS] = faces[:, :1]
        classes = rng.integers(self.classes, size=(count, others))
        classes[:, 0] = labels
        bends = rng.uniform(-1, 1, (count, 3, _KNOTS, _KNOTS)).astype(np.float32)
        windows = rng.integers(self._noise.shape[0], size=count)

        face = torch.from_numpy(faces).to(self.device)
        kind = torch.from_numpy(classes).to(self.device)
        smooth = self._spread @ torch.from_numpy(bends).to(self.device) @ self._spread.T

        softness = self._softness(draw)
        line, scale = self._line_of_print(draw, smooth[:, :2])
        text = self._text(draw, face, kind, line, softness)
        clutter = self._clutter(draw, face, kind, scale, softness)
        strokes = self._strokes(draw, softness)
        image = self._paint(draw, smooth[:, 2:], text, clutter, strokes)

        sigma = draw.uniform(0, 1) * (0.07 * self.difficulty)
        noise = self._noise[torch.from_numpy(windows).to(self.device)]
        image.addcmul_(sigma, noise.view(image.shape))
        return image.mul_(255).round_().clamp_(0, 255).to(torch.uint8)

    def _softness(self, draw: _Draw) -> Tensor:
        """Half width of an edge in glyph units [N, 1, 1, 1]: antialiasing plus random blur."""
        pixel = 2 * _HALF_VIEW / self.resolution
        return 0.6 * pixel + 0.075 * self.difficulty * draw.uniform(0, 1) ** 2

    def _line_of_print(self, draw: _Draw, bend: Tensor) -> tuple[Tensor, Tensor]:
        """Where each image pixel lies on the line of print: [N, 2, R, R] in glyph units."""
        d = self.difficulty
        angle = draw.uniform(-0.25, 0.25) * d
        shear = draw.uniform(-0.2, 0.2) * d
        scale = _HALF_VIEW * torch.exp(draw.uniform(-0.125, 0.125) * d)
        aspect = torch.exp(draw.uniform(-0.115, 0.115) * d)
        shift = draw.uniform(-0.1, 0.1, 2) * d
        tilt = draw.uniform(-0.125, 0.125, 2) * d
        x = self._x - shift[:, :1]
        y = self._y - shift[:, 1:]
        depth = scale / (1 + tilt[:, :1] * x + tilt[:, 1:] * y).clamp_min(0.3)
        cos, sin = torch.cos(angle), torch.sin(angle)
        across = (cos * x + sin * y) * depth * aspect
        down = (cos * y - sin * x) * depth / aspect
        place = torch.cat([across + shear * down, down], dim=1)
        return place + bend * (0.05 * d), scale

    def _sample(self, face: Tensor, kind: Tensor, place: Tensor) -> Tensor:
        """Signed distance [N, 1, R, R] at ``place`` [N, 2, R, R] to glyphs ``kind`` of ``face``."""
        fields = self.source.fields[face, kind][:, None]
        grid = (place / glyph_atlas.EXTENT).permute(0, 2, 3, 1)
        # Beyond the field the border's distance stands for "outside", which it always is.
        return F.grid_sample(fields, grid, padding_mode="border", align_corners=False)

    def _text(
        self, draw: _Draw, face: Tensor, kind: Tensor, place: Tensor, softness: Tensor
    ) -> Tensor:
        """Coverage [N, 1, R, R] of the glyph and of its neighbours in the line."""
        d = self.difficulty
        distance = self._sample(face[:, 0], kind[:, 0], place)
        half_widths = self.source.half_widths[face, kind][:, :, None, None]
        gap = draw.uniform(0.10, 0.35, _NEIGHBOURS)
        absent = 1 - draw.chance(min(0.45 * d, 0.9), _NEIGHBOURS)
        for index, side in enumerate((-1.0, 1.0)):
            apart = half_widths[:, :1] + half_widths[:, index + 1 : index + 2]
            offset = side * (apart + gap[:, index : index + 1])
            moved = torch.cat([place[:, :1] - offset, place[:, 1:]], dim=1)
            other = self._sample(face[:, index + 1], kind[:, index + 1], moved)
            distance = torch.maximum(distance, other - absent[:, index : index + 1])
        # Bold faces may lose weight, thin ones may not, or they would vanish.
        spare = (0.8 * (self.source.hairlines[face[:, 0]] - _THINNEST)).clamp_(0)[
            :, None, None, None
        ]
        weight = draw.uniform(0, 1)
        distance = distance + (0.035 * weight - spare * (1 - weight)) * min(d, 1.5)
        hollow = draw.chance(min(0.08 * d, 0.5))
        rim = draw.uniform(0.025, 0.04)
        distance = torch.where(hollow > 0, rim - distance.abs(), distance)
        return (0.5 + distance / (2 * softness)).clamp_(0, 1)

    def _clutter(
        self, draw: _Draw, face: Tensor, kind: Tensor, scale: Tensor, softness: Tensor
    ) -> Tensor:
        """Coverage [N, _CLUTTER, R, R] of other glyphs that peep in from the edges."""
        covers = []
        for index in range(1 + _NEIGHBOURS, 1 + _NEIGHBOURS + _CLUTTER):
            turn = draw.uniform(-np.pi, np.pi)
            bearing = draw.uniform(-np.pi, np.pi)
            radius = draw.uniform(0.85, 1.25)
            size = scale * draw.uniform(0.7, 1.5)
            present = draw.chance(min(0.4 * self.difficulty, 0.9))
            x = self._x - radius * torch.cos(bearing)
            y = self._y - radius * torch.sin(bearing)
            cos, sin = torch.cos(turn) * size, torch.sin(turn) * size
            place = torch.cat([cos * x + sin * y, cos * y - sin * x], dim=1)
            distance = self._sample(face[:, index], kind[:, index], place)
            covers.append(present * (0.5 + distance / (2 * softness)).clamp_(0, 1))
        return torch.cat(covers, dim=1)

    def _strokes(self, draw: _Draw, softness: Tensor) -> Tensor:
        """Coverage [N, _LINES, R, R] of straight lines through the image."""
        angle = draw.uniform(-np.pi, np.pi, _LINES)
        away = draw.uniform(-0.9, 0.9, _LINES)
        width = draw.uniform(0.005, 0.035, _LINES)
        present = draw.chance(min(0.35 * self.difficulty, 0.9), _LINES)
        distance = width - (torch.cos(angle) * self._x + torch.sin(angle) * self._y - away).abs()
        return present * (0.5 + distance / (2 * softness)).clamp_(0, 1)

    def _tint(self, draw: _Draw, luminance: Tensor) -> Tensor:
        """A random colour [N, channels, 1, 1] of the given luminance [N, 1, 1, 1]."""
        hue = draw.uniform(-0.5, 0.5, 3)
        if self.channels == 1:
            return luminance
        return luminance + hue - (hue * self._luminance).sum(1, keepdim=True)

    def _paint(
        self, draw: _Draw, texture: Tensor, text: Tensor, clutter: Tensor, strokes: Tensor
    ) -> Tensor:
        """Composes float images [N, channels, R, R], about 0..1."""
        d = self.difficulty
        least = max(0.12, 0.55 - 0.2 * d)
        contrast = draw.uniform(least, 0.95)
        darker = draw.uniform(0, 1) * (1 - contrast)
        swap = draw.chance(0.5)
        ground = darker + swap * contrast
        ink = darker + (1 - swap) * contrast
        bearing = draw.uniform(-np.pi, np.pi)
        ramp = torch.cos(bearing) * self._x + torch.sin(bearing) * self._y
        # Shading moves the ground by less than the ink differs from it: the glyph stays legible.
        shade = contrast * min(d, 2) * (draw.uniform(0, 0.17) * ramp)
        shade = shade + contrast * min(d, 2) * (draw.uniform(0, 0.28) * texture)
        image = self._tint(draw, ground) + shade  # a fresh tensor, painted on in place
        for index in range(_CLUTTER):
            colour = self._tint(draw, ground + (ink - ground) * draw.uniform(-0.4, 0.8))
            cover = clutter[:, index : index + 1] * draw.uniform(0.4, 1)
            image.lerp_(colour, cover)
        ink_colour = self._tint(draw, ink)
        for index in range(_LINES):
            if index == _LINES - 1:
                # The last line crosses the glyph, the others run behind it.
                image.lerp_(ink_colour, text)
            colour = self._tint(draw, draw.uniform(0, 1))
            cover = strokes[:, index : index + 1] * draw.uniform(0.3, 0.9)
            image.lerp_(colour, cover)
        return image
