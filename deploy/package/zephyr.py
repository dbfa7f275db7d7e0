# SPDX-License-Identifier: Apache-2.0
"""A Zephyr module with a sample."""

from pathlib import Path

from deploy.package.sources import Library, write_folder


def export_zephyr(library: Library, output: Path) -> None:
    """Write the module's folder.

    Raises:
        DeployError: ``output`` is in the way or cannot be written.
    """
    files = {f"src/{name}": text for name, text in library.files.items()}
    for name, template in {
        "zephyr/module.yml": "module.yml.j2",
        "zephyr/CMakeLists.txt": "zephyr.CMakeLists.txt.j2",
        "zephyr/Kconfig": "Kconfig.j2",
        "samples/classify/CMakeLists.txt": "sample.CMakeLists.txt.j2",
        "samples/classify/prj.conf": "prj.conf.j2",
        "samples/classify/sample.yaml": "sample.yaml.j2",
        "samples/classify/src/main.c": "zephyr_main.c.j2",
    }.items():
        files[name] = library.render(template)
    write_folder(output, files)
