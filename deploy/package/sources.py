# SPDX-License-Identifier: Apache-2.0
"""What every library holds: generated C, kernels, labels, and one public header."""

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.core.errors import DeployError
from deploy.core.places import firmware_root, kernel_sources
from deploy.core.templates import template_set

VERSION = "1.0.0"

_HEADERS = ("nb_assembly.inc", "nb_backend.h", "nb_kernels.h", "nb_model.h", "nb_rows.h")

_TEMPLATES = template_set(Path(__file__).parent / "templates")


@dataclass(frozen=True)
class Library:
    """A model's sources, flat: file name to text.

    Attributes:
        name: of the library and its public header, a C identifier.
        model: what the model calls itself.
        labels: class names in the order of the outputs.
        plan: the parsed ``plan.json``.
        files: everything that is compiled or included.
    """

    name: str
    model: str
    labels: list[str]
    plan: dict[str, Any]
    files: dict[str, str]

    @property
    def sources(self) -> list[str]:
        """Names of the files of C and assembly, sorted."""
        return sorted(name for name in self.files if name.endswith((".c", ".S")))

    def render(self, template: str) -> str:
        """A file from the template of that name."""
        return _TEMPLATES.get_template(template).render(
            name=self.name,
            guard=self.name.upper(),
            model=self.model,
            labels=[json.dumps(label) for label in self.labels],
            plan=self.plan,
            version=VERSION,
            sources=self.sources,
            input_bytes=_tensor_bytes(self.plan["input"]),
        )


def _tensor_bytes(tensor: dict[str, Any]) -> int:
    size = 1
    for extent in tensor["shape"]:
        size *= int(extent)
    return size


def collect(generated: Path, name: str, labels: list[str] | None = None) -> Library:
    """Gather a model's sources.

    Args:
        generated: folder that ``netbooster compile`` wrote.
        name: of the library: letters, digits and underscores, a letter first.
        labels: class names; by default ``class 0``, ``class 1``, ...

    Raises:
        DeployError: no generated C, or a name that the build systems do not take.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", name):
        raise DeployError(
            f"library name {name!r}: use letters, digits and underscores, beginning with a letter"
        )
    if name.lower().startswith("arduino"):
        raise DeployError(
            f"library name {name!r}: names beginning with 'Arduino' are reserved for Arduino's own"
        )
    try:
        plan = json.loads((generated / "plan.json").read_text())
        files = {path.name: path.read_text() for path in sorted(generated.glob("*.[ch]"))}
    except (OSError, ValueError) as error:
        raise DeployError(
            f"{generated} holds no compiled model; run `netbooster compile` first ({error})"
        ) from error
    if "model.h" not in files or "model.c" not in files:
        raise DeployError(f"{generated} holds no model.c; run `netbooster compile` first")
    # Other linker scripts know no section of ours: the arena is an ordinary variable there.
    files["model.h"] = "#define NB_DEFAULT_SECTIONS 1\n" + files["model.h"]
    include = firmware_root() / "firmware" / "include"
    headers = [include / header for header in _HEADERS]
    for path in [*kernel_sources(".c", ".h", ".inc", ".S"), *headers]:
        files[path.name] = path.read_text()
    count = _tensor_bytes(plan["output"])
    chosen = labels if labels is not None else [f"class {i}" for i in range(count)]
    if len(chosen) != count:
        raise DeployError(f"{generated}: the model has {count} outputs, {len(chosen)} labels given")
    library = Library(name, str(plan["name"]), chosen, plan, files)
    files[f"{name}.h"] = library.render("public.h.j2")
    files["nb_application.c"] = library.render("nb_application.c.j2").replace(
        "PUBLIC_HEADER", f"{name}.h"
    )
    return library


def write_folder(output: Path, files: dict[str, str]) -> None:
    """Write a folder of files so that a kill never leaves half of it.

    Raises:
        DeployError: ``output`` exists and is none of ours, or cannot be written.
    """
    marker = ".netbooster-export"
    if output.exists() and not (output / marker).is_file():
        raise DeployError(f"{output} exists and is no library of ours; choose another folder")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        try:
            for name, text in {**files, marker: ""}.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            folder.chmod(0o755)
            if output.exists():
                shutil.rmtree(output)
            os.replace(folder, output)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise DeployError(f"cannot write {output}: {error.strerror or error}") from error
