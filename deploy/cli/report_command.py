# SPDX-License-Identifier: Apache-2.0
"""`netbooster report`: everything measured, on one page."""

from deploy import run
from deploy.cli.console import console
from deploy.cli.options import DEFAULT_TARGET, RunFolder, TargetOption

NO_ARGS_IS_HELP = True


def command(folder: RunFolder, target: TargetOption = DEFAULT_TARGET) -> None:
    """Write RUN/report.html: accuracy, budget, instructions, memory, curves, answers.

    Fails where the contracted model does not keep the vanilla model's budget: parameters,
    MACs, tensor shapes and planned RAM have to be equal.
    """
    run.report(folder, target=target, console=console)
