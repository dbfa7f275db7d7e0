# SPDX-License-Identifier: Apache-2.0
"""The `netbooster` command: one file a subcommand, each thin: parse, call, print."""

import os
import sys
from importlib import import_module
from typing import Any

import typer

from deploy.cli.console import error_console

HELP = """From a folder of images to a verified neural network on a microcontroller.

`netbooster run digits --target mps2-an386` does everything, from training to report.html.
"""

# Typer carries its own copy of click, or uses the installed one: ask it which.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]

# What `--help` shows, group by group.
GROUPS = {
    "The whole job": ("run", "table"),
    "Stage by stage": (
        "train", "quantize", "compile", "build", "measure", "report",
    ),
    "A model of your own": ("fit", "bench", "package"),
    "Boards": ("flash",),
    "Look": ("inspect", "verify", "list", "doctor"),
}  # fmt: skip
COMMANDS = tuple(name for names in GROUPS.values() for name in names)

# Words of earlier versions, and what is said today.
RENAMED = {
    "contract": "train",
    "emulate": "measure --on qemu",
    "export": "quantize RUN",
    "import": "quantize FILE",
    "plan": "inspect FILE --memory",
    "models": "list models",
    "targets": "list targets",
    "export-arduino": "package --format arduino",
    "export-platformio": "package --format platformio",
    "export-zephyr": "package --format zephyr",
    "export-cmake": "package --format cmake",
}

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _group, _names in GROUPS.items():
    for _name in _names:
        _module = import_module(f"deploy.cli.{_name}_command")
        app.command(
            _name,
            no_args_is_help=getattr(_module, "NO_ARGS_IS_HELP", False),
            rich_help_panel=_group,
        )(_module.command)


def _print_version(value: bool) -> None:
    if value:
        from netbooster import __version__

        typer.echo(f"netbooster {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns or raises SystemExit with the exit code.

    Bad input ends with one line on stderr and exit code 2, never with a traceback.
    """
    from deploy.core.errors import DeployError
    from netbooster.common.errors import EchoedError, NetBoosterError

    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words and words[0] in RENAMED:
            raise DeployError(f"netbooster {words[0]} is called netbooster {RENAMED[words[0]]}")
        code = app(args=arguments, prog_name="netbooster", standalone_mode=False)
    except EchoedError:  # the writing process of a torchrun says it
        sys.exit(2)
    except NetBoosterError as error:
        error_console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except _USAGE_ERROR as error:
        usage: Any = error
        if not usage.format_message().strip():  # no arguments: the help is on the screen
            sys.exit(2)
        command = usage.ctx.command_path if usage.ctx is not None else "netbooster"
        message = f"error: {usage.format_message().rstrip('.')} (see '{command} --help')"
        error_console.print(message, markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        error_console.print("interrupted; the same command goes on from where it stopped")
        sys.exit(130)
    except BrokenPipeError:
        # `netbooster list models | head`: the reader has gone; stop quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    # Without standalone mode a command's typer.Exit comes back as its value.
    sys.exit(code if isinstance(code, int) else 0)
