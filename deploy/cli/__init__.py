"""The `netbooster` command: one file a subcommand, each thin: parse, call, print."""

import os
import sys
from importlib import import_module
from typing import Any

import typer

from deploy.cli.console import error_console

HELP = """From a folder of images to a verified neural network on a microcontroller.

`netbooster run digits --target mps2-an386` does everything, from training to report.html.
Each stage is also a command of its own and reads what the stage before it wrote into the run
folder: train, contract, export, compile, build, emulate, report.
"""

# Typer carries its own copy of click, or uses the installed one: ask it which.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]

# In the order in which `--help` shows them.
COMMANDS = (
    "run", "train", "contract", "export", "compile", "build", "emulate", "verify", "report",
    "table", "flash", "measure", "fit", "import", "inspect", "plan", "bench",
    "export-arduino", "export-platformio", "export-zephyr", "export-cmake",
    "models", "targets", "doctor",
)  # fmt: skip

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name in COMMANDS:
    _module = import_module(f"deploy.cli.{_name.replace('-', '_')}_command")
    app.command(_name, no_args_is_help=getattr(_module, "NO_ARGS_IS_HELP", False))(_module.command)


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

    try:
        code = app(args=arguments, prog_name="netbooster", standalone_mode=False)
    except EchoedError:  # the writing process of a torchrun says it
        sys.exit(2)
    except (DeployError, NetBoosterError) as error:
        error_console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except _USAGE_ERROR as error:
        usage: Any = error
        command = usage.ctx.command_path if usage.ctx is not None else "netbooster"
        message = f"error: {usage.format_message().rstrip('.')} (see '{command} --help')"
        error_console.print(message, markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        error_console.print("interrupted; the same command goes on from where it stopped")
        sys.exit(130)
    except BrokenPipeError:
        # `netbooster models | head`: the reader has gone; stop quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    # Without standalone mode a command's typer.Exit comes back as its value.
    sys.exit(code if isinstance(code, int) else 0)
