# SPDX-License-Identifier: Apache-2.0
"""The typefaces of the glyphs data set, their split, and their outlines.

All come from the fonts that ship inside matplotlib, so the data set needs no download. A face is
one complete set of 62 letters and digits. STIXGeneral also carries whole alphabets of other designs
as Unicode mathematical letters; those are faces of their own.

The split is by design, not by file, because near-identical designs in training and test would turn
generalization into memory:

- The DejaVu designs (Sans, Mono, Serif) share one skeleton and stay together, in training.
- STIX's Times-like faces and its double-struck letters are designs of their own, in training.
- STIX Sans: validation. Of all designs it is nearest to Computer Modern's sans, so it does not
  train a network that is tested on that.
- Computer Modern (roman, bold, italic, sans, typewriter) is one system of designs; STIX Monospace
  is a lighter copy of its typewriter face and goes with it: test.
"""

import logging
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont, TTLibError

from netbooster.common.errors import NetBoosterError
from netbooster.data.base import SplitName

# Some of the fonts carry odd creation dates; fontTools reports each at every load.
logging.getLogger("fontTools.ttLib.tables._h_e_a_d").setLevel(logging.ERROR)

#: All classes that a face must offer, in label order.
CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase

#: First code point of (capitals, small letters, digits) of an alphabet.
_ALPHABETS = {
    "latin": (0x41, 0x61, 0x30),
    "double-struck": (0x1D538, 0x1D552, 0x1D7D8),
    "sans": (0x1D5A0, 0x1D5BA, 0x1D7E2),
    "sans-bold": (0x1D5D4, 0x1D5EE, 0x1D7EC),
    "monospace": (0x1D670, 0x1D68A, 0x1D7F6),
}

#: Double-struck capitals that Unicode had before the mathematical block.
_DOUBLE_STRUCK_EXCEPTIONS = {
    "C": 0x2102,
    "H": 0x210D,
    "N": 0x2115,
    "P": 0x2119,
    "Q": 0x211A,
    "R": 0x211D,
    "Z": 0x2124,
}


@dataclass(frozen=True)
class Face:
    """One typeface: a font file of matplotlib, the alphabet in it, its family and its split."""

    file: str
    family: str
    split: SplitName
    alphabet: str = "latin"

    @property
    def name(self) -> str:
        """Short unique name."""
        stem = self.file.removesuffix(".ttf")
        return stem if self.alphabet == "latin" else f"{stem}/{self.alphabet}"

    def code_point(self, character: str) -> int:
        """The Unicode code point that draws ``character`` in this face."""
        if self.alphabet == "double-struck" and character in _DOUBLE_STRUCK_EXCEPTIONS:
            return _DOUBLE_STRUCK_EXCEPTIONS[character]
        upper, lower, digit = _ALPHABETS[self.alphabet]
        if character.isdigit():
            return digit + ord(character) - ord("0")
        base, first = (upper, "A") if character.isupper() else (lower, "a")
        return base + ord(character) - ord(first)


FACES: tuple[Face, ...] = (
    Face("DejaVuSans.ttf", "DejaVu", "train"),
    Face("DejaVuSans-Bold.ttf", "DejaVu", "train"),
    Face("DejaVuSans-Oblique.ttf", "DejaVu", "train"),
    Face("DejaVuSans-BoldOblique.ttf", "DejaVu", "train"),
    Face("DejaVuSansMono.ttf", "DejaVu", "train"),
    Face("DejaVuSansMono-Bold.ttf", "DejaVu", "train"),
    Face("DejaVuSansMono-Oblique.ttf", "DejaVu", "train"),
    Face("DejaVuSansMono-BoldOblique.ttf", "DejaVu", "train"),
    Face("DejaVuSerif.ttf", "DejaVu", "train"),
    Face("DejaVuSerif-Bold.ttf", "DejaVu", "train"),
    Face("DejaVuSerif-Italic.ttf", "DejaVu", "train"),
    Face("DejaVuSerif-BoldItalic.ttf", "DejaVu", "train"),
    Face("STIXGeneral.ttf", "STIX Times", "train"),
    Face("STIXGeneralBol.ttf", "STIX Times", "train"),
    Face("STIXGeneralItalic.ttf", "STIX Times", "train"),
    Face("STIXGeneralBolIta.ttf", "STIX Times", "train"),
    Face("STIXGeneral.ttf", "Double-struck", "train", "double-struck"),
    Face("DejaVuSans.ttf", "Double-struck", "train", "double-struck"),
    Face("STIXGeneral.ttf", "STIX Sans", "val", "sans"),
    Face("STIXGeneral.ttf", "STIX Sans", "val", "sans-bold"),
    Face("cmr10.ttf", "Computer Modern", "test"),
    Face("cmb10.ttf", "Computer Modern", "test"),
    Face("cmti10.ttf", "Computer Modern", "test"),
    Face("cmss10.ttf", "Computer Modern", "test"),
    Face("cmtt10.ttf", "Computer Modern", "test"),
    Face("STIXGeneral.ttf", "Computer Modern", "test", "monospace"),
)

#: Why the other font files are left out.
EXCLUDED: dict[str, str] = {
    "DejaVuSansDisplay.ttf": "lacks the letters",
    "DejaVuSerifDisplay.ttf": "lacks the letters",
    "LastResortHE-Regular.ttf": "draws one placeholder for every letter",
    "STIXNonUni.ttf": "lacks the letters",
    "STIXNonUniBol.ttf": "lacks the letters",
    "STIXNonUniBolIta.ttf": "lacks the letters",
    "STIXNonUniIta.ttf": "lacks the letters",
    "STIXSizFiveSymReg.ttf": "lacks the letters",
    "STIXSizFourSymBol.ttf": "lacks the letters",
    "STIXSizFourSymReg.ttf": "lacks the letters",
    "STIXSizOneSymBol.ttf": "lacks the letters",
    "STIXSizOneSymReg.ttf": "lacks the letters",
    "STIXSizThreeSymBol.ttf": "lacks the letters",
    "STIXSizThreeSymReg.ttf": "lacks the letters",
    "STIXSizTwoSymBol.ttf": "lacks the letters",
    "STIXSizTwoSymReg.ttf": "lacks the letters",
    "cmex10.ttf": "symbols at the letters' codes",
    "cmmi10.ttf": "repeats the letters of cmti10",
    "cmsy10.ttf": "symbols at the letters' codes",
}


def faces_of(split: SplitName) -> tuple[Face, ...]:
    """The faces of one split, in the order of the atlas."""
    return tuple(face for face in FACES if face.split == split)


def font_path(file: str) -> Path:
    """Where matplotlib keeps a font file.

    Raises:
        NetBoosterError: the installed matplotlib lacks the file.
    """
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file
    if not path.is_file():
        raise NetBoosterError(
            f"glyphs: font {file} is missing from matplotlib {matplotlib.__version__}; "
            "reinstall matplotlib"
        )
    return path


class _Flatten(BasePen):
    """Collects a glyph's closed contours as polylines, in font units."""

    _STEPS = np.linspace(0.0, 1.0, 6)[1:, None]

    def __init__(self, glyph_set: Any) -> None:
        super().__init__(glyph_set)
        self.contours: list[list[tuple[float, float]]] = []

    def _moveTo(self, pt: tuple[float, float]) -> None:  # noqa: N802 (fontTools' name)
        self.contours.append([pt])

    def _lineTo(self, pt: tuple[float, float]) -> None:  # noqa: N802
        self.contours[-1].append(pt)

    def _curveToOne(  # noqa: N802
        self, pt1: tuple[float, float], pt2: tuple[float, float], pt3: tuple[float, float]
    ) -> None:
        # Quadratic curves of TrueType arrive here as the cubic that is equal to them.
        p0, p1, p2, p3 = (np.array(p) for p in (self.contours[-1][-1], pt1, pt2, pt3))
        t = self._STEPS
        points = (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * p3
        self.contours[-1].extend((float(x), float(y)) for x, y in points)


@cache
def _font(file: str) -> tuple[TTFont, dict[int, str], Any]:
    path = font_path(file)
    try:
        font = TTFont(path, lazy=True)
        names: dict[int, str] = {}
        for table in font["cmap"].tables:
            if table.isUnicode():
                names.update(table.cmap)
        return font, names, font.getGlyphSet()
    except (TTLibError, KeyError, OSError) as error:
        raise NetBoosterError(
            f"glyphs: font {path} cannot be read ({error}); reinstall matplotlib"
        ) from error


def outline(face: Face, character: str) -> np.ndarray:
    """Line segments float64 [S, 2, 2] (start and end, x right and y up, font units) of a glyph.

    Raises:
        NetBoosterError: the face lacks the character.
    """
    _, names, glyphs = _font(face.file)
    name = names.get(face.code_point(character))
    pen = _Flatten(glyphs)
    if name is not None and name != ".notdef":
        glyphs[name].draw(pen)
    segments = []
    for contour in pen.contours:
        points = np.array(contour, dtype=np.float64)
        ends = np.roll(points, -1, axis=0)
        keep = np.any(points != ends, axis=1)
        segments.append(np.stack([points, ends], axis=1)[keep])
    if not segments:
        raise NetBoosterError(
            f"glyphs: font {face.file} has no outline for {character!r}; reinstall matplotlib"
        )
    return np.concatenate(segments)
