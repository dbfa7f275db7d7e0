# SPDX-License-Identifier: Apache-2.0
"""The exception that deploy raises for bad input."""

from netbooster.common.errors import NetBoosterError


class DeployError(NetBoosterError):
    """Bad input met during deployment: one line that names the culprit and the remedy.

    The command line prints it without a traceback and ends with exit code 2.
    """
