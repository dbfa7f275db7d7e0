# SPDX-License-Identifier: Apache-2.0
"""An Arduino library, as a zip that the Arduino IDE installs."""

import io
import zipfile
from pathlib import Path

from deploy.core.places import firmware_root
from deploy.package.sources import Library
from netbooster.common.files import write_atomic

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same input gives the same bytes


def arduino_files(library: Library) -> dict[str, str]:
    """The library's files, by their path in the zip."""
    top = library.name
    files = {f"{top}/src/{name}": text for name, text in library.files.items()}
    files[f"{top}/library.properties"] = library.render("library.properties.j2")
    files[f"{top}/keywords.txt"] = library.render("keywords.txt.j2")
    for sketch in ("Classify", "Benchmark"):
        files[f"{top}/examples/{sketch}/{sketch}.ino"] = library.render(f"{sketch}.ino.j2")
    license_text = firmware_root() / "LICENSE"
    if license_text.is_file():
        files[f"{top}/LICENSE"] = license_text.read_text()
    return files


def export_arduino(library: Library, output: Path) -> None:
    """Write the zip.

    Raises:
        DeployError: ``output`` cannot be written.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(arduino_files(library).items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    write_atomic(output, buffer.getvalue())
