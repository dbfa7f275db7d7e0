# SPDX-License-Identifier: Apache-2.0
"""No circle between files in either package, and a licence in every source.

`lint-imports` keeps the rooms in order.
"""

import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
LICENCE = "SPDX-License-Identifier: Apache-2.0"
SOURCES = ("*.py", "*.sh", "*.c", "*.h", "*.cc", "*.S", "*.inc", "*.ld", "*.ld.in", "*.cmake",
           "*CMakeLists.txt", "Makefile", ".ci/run")  # fmt: skip
GENERATED = "tests/firmware/fake_model/"  # stands for generated C, which is the user's


def lacks_licence(path):
    """Whether neither the first line nor the one below a shebang names the licence."""
    with path.open(encoding="utf-8") as file:
        first, second = file.readline(), file.readline()
    return LICENCE not in (second if first.startswith("#!") else first)


def test_every_source_names_its_licence(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: git does not list the sources")
    listed = ["git", "-C", str(ROOT), "ls-files", *SOURCES]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    assert len(names) > 500
    sources = [ROOT / name for name in names if not name.startswith(GENERATED)]
    assert [path for path in sources if path.is_file() and lacks_licence(path)] == []
    other = tmp_path / "other.py"
    other.write_text(f"import os\n# {LICENCE}\n")
    assert lacks_licence(other)


def circles(package):
    """Circles of files that import each other, lazy and type-checking imports included."""
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {
        module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }
    found = []
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            circle = error.args[1]  # each is imported by the next; the last is the first again
            found.append(" -> ".join(reversed(circle)))
            imports[circle[1]].discard(circle[0])
        else:
            return found


@pytest.mark.parametrize("package", ["deploy", "netbooster"])
def test_no_files_import_each_other_in_a_circle(package):
    assert circles(package) == []


def test_a_circle_is_found(tmp_path, monkeypatch):
    folder = tmp_path / "ring"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "a.py").write_text("def f():\n    from ring import b\n")
    (folder / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ring.a import f\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert circles("ring") in (["ring.a -> ring.b -> ring.a"], ["ring.b -> ring.a -> ring.b"])
