# SPDX-License-Identifier: Apache-2.0
"""What a person waits for first must not load torch or TensorFlow."""

import subprocess
import sys

import pytest

from deploy.cli import COMMANDS

HEAVY = "sorted({'torch', 'tensorflow', 'matplotlib'} & set(sys.modules))"


def loaded(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('LOADED', {HEAVY})"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("code", ["from deploy import run", "import netbooster"])
def test_the_public_names_are_there_at_once(code: str) -> None:
    assert loaded(code) == "LOADED []"


def test_help_of_every_command_is_there_at_once() -> None:
    code = (
        "from deploy.cli import COMMANDS, main\n"
        "for words in ([], *([name] for name in COMMANDS)):\n"
        "    try:\n"
        "        main([*words, '--help'])\n"
        "    except SystemExit as stop:\n"
        "        assert not stop.code, words"
    )
    assert loaded(code) == "LOADED []"
    assert len(COMMANDS) > 10


def test_what_is_looked_for_would_be_found() -> None:
    assert loaded("import torch") == "LOADED ['torch']"
