# SPDX-License-Identifier: Apache-2.0
"""Every `netbooster …` in documentation, workflows and scripts is one that the program takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from deploy.cli import COMMANDS, app

ROOT = Path(__file__).parents[3]
GROUP: Any = typer.main.get_command(app)
# Typer carries its own copy of click, or uses the installed one: ask it which.
USAGE_ERROR: Any = typer.BadParameter.__mro__[1]

FILES = [
    path
    for pattern in (
        "README.md", "CONTRIBUTING.md", "docs/**/*.md", "firmware/**/*.md", "Makefile", ".ci/*",
        ".github/workflows/*.yml", "tools/**/*.py", "tools/**/*.sh", "tests/**/*.robot",
        "firmware/**/*.resc", "firmware/**/CMakeLists.txt", "firmware/**/*.cmake",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
]  # fmt: skip
PROGRAM = r"(?:\S*/)?netbooster|python3? -m deploy\.cli|torchrun .*?-m deploy\.cli"
LINE = re.compile(rf"^\s*(?:[-@$]\s*|run:\s*|[A-Z_]+=\S+\s+)*(?:{PROGRAM})\s+([a-z-].*)$", re.M)
SPAN = re.compile(rf"(`+)(?:[A-Z_]+=\S+\s+)*(?:{PROGRAM})\s+([a-z-][^`]*)\1")


def written(path: Path) -> Iterator[tuple[str, bool]]:
    """The commands in a file, and whether each stands alone on its line, to be typed as it is."""
    text = path.read_text()
    joined = re.sub(r"\\\n\s*", " ", text)
    for found in LINE.finditer(joined):
        yield re.split(r"\s+(?:#|;|\||&&|>)|;", found[1])[0].strip(), True
    for found in SPAN.finditer(joined):
        yield " ".join(found[2].split()), False


def words(command: str) -> list[str]:
    """A command's words; what is optional in a synopsis is taken."""
    return shlex.split(
        command.replace("[", "").replace("]", "").replace("…", "").replace("...", "")
    )


def parse(arguments: list[str], *, whole: bool) -> None:
    """Parse as the program does; a mention in a sentence may leave arguments out.

    Raises:
        click.UsageError: the program would refuse it.
    """
    context = GROUP.make_context("netbooster", list(arguments))
    name, command, rest = GROUP.resolve_command(context, arguments)
    if not (rest or whole):
        return
    try:
        command.make_context(name, list(rest), parent=context)
    except USAGE_ERROR as error:
        if whole or type(error).__name__ != "MissingParameter":
            raise


COMMANDS_WRITTEN = [
    pytest.param(command, whole, id=f"{path.relative_to(ROOT)}: {command}"[:100])
    for path in FILES
    for command, whole in dict.fromkeys(written(path))
    if not command.startswith("--")
]


@pytest.mark.parametrize(("command", "whole"), COMMANDS_WRITTEN)
def test_the_program_takes_what_is_written(command: str, whole: bool) -> None:
    try:
        parse(words(command), whole=whole)
    except USAGE_ERROR as error:
        pytest.fail(f"netbooster {command}: {error.format_message()}")  # type: ignore[attr-defined]


def test_commands_are_found_where_they_are_written() -> None:
    found = {path.name for path in FILES if any(written(path))}
    assert {"README.md", "CONTRIBUTING.md", "ci.yml", "Makefile"} <= found
    assert len(COMMANDS_WRITTEN) > 30


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("fly", False),
        ("export RUN", False),
        ("build RUN --model boosted", False),
        ("list boards", False),
        ("compile FILE.tflite --schedule columns", False),
        ("measure RUN --runs many", False),
        ("flash", True),
    ],
)
def test_wrong_commands_are_noticed(command: str, whole: bool) -> None:
    with pytest.raises(USAGE_ERROR):
        parse(words(command), whole=whole)


def test_messages_name_commands_that_there_are() -> None:
    said = re.compile(r"(?:`|: |run |see |or |with )netbooster ([a-z]+)")
    for folder in ("deploy", "netbooster", "firmware"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".j2", ".txt", ".cmake", ".toml", ".h", ".c"):
                unknown = set(said.findall(path.read_text())) - set(COMMANDS)
                assert not unknown, f"{path.relative_to(ROOT)}: {unknown}"
