# SPDX-License-Identifier: Apache-2.0
"""A PlatformIO library: a folder for a project's ``lib``."""

import json
from pathlib import Path

from deploy.package.sources import VERSION, Library, write_folder


def export_platformio(library: Library, output: Path) -> None:
    """Write the folder.

    Raises:
        DeployError: ``output`` is in the way or cannot be written.
    """
    manifest = {
        "name": library.name,
        "version": VERSION,
        "description": f"Neural network {library.model}, compiled by NetBooster",
        "keywords": "neural network, classification, int8",
        "license": "Apache-2.0",
        "frameworks": "*",
        "platforms": "*",
        "headers": f"{library.name}.h",
        "build": {"srcDir": "src", "includeDir": "src", "flags": ["-O3"]},
        "examples": [
            {"name": "Benchmark", "base": "examples/Benchmark", "files": ["Benchmark.cpp"]}
        ],
    }
    files = {f"src/{name}": text for name, text in library.files.items()}
    files["library.json"] = json.dumps(manifest, indent=2) + "\n"
    files["examples/Benchmark/Benchmark.cpp"] = "#include <Arduino.h>\n" + library.render(
        "Benchmark.ino.j2"
    )
    write_folder(output, files)
