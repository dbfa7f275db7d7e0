"""No circle between files in either package; `lint-imports` keeps the rooms in order."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


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
