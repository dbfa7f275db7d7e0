# SPDX-License-Identifier: Apache-2.0
"""What all rooms share: one kind of error, one set-up of templates, and nothing heavy."""

import subprocess
import sys

import pytest
from jinja2 import UndefinedError

from deploy.core.errors import DeployError
from deploy.core.templates import template_set
from netbooster.common.errors import NetBoosterError


def test_errors_of_deploy_are_errors_of_netbooster():
    """So that files, which both packages write with one function, need one handler."""
    assert issubclass(DeployError, NetBoosterError)


def test_files_and_errors_load_no_torch():
    code = "import sys, deploy.core.errors, netbooster.common.files; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.html.j2", "a &lt; b\nEND\n"),
        ("plot.svg.j2", "a &lt; b\nEND\n"),
        ("code.c.j2", "a < b\nEND\n"),
        ("notes.md.j2", "a < b\nEND\n"),
    ],
)
def test_markup_is_escaped_by_the_name_of_the_file(name, text, tmp_path):
    (tmp_path / name).write_text(
        "  {% if value %}\n{{ value | lower }}\n{% endif %}\n{{ 0 | end }}\n"
    )
    templates = template_set(tmp_path, {"end": lambda _: "END"})
    assert templates.get_template(name).render(value="A < B") == text
    with pytest.raises(UndefinedError, match="value"):
        templates.get_template(name).render()
