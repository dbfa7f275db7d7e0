# SPDX-License-Identifier: Apache-2.0
"""What every room raises for bad input; deploy has kinds of its own."""


class NetBoosterError(Exception):
    """Bad input: one line that names the culprit and the remedy.

    The command line prints it without a traceback and ends with exit code 2.
    """


class EchoedError(NetBoosterError):
    """The error of a `torchrun`'s writing process, raised in the others, which need not say it."""
