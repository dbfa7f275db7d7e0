"""The one exception that netbooster raises for bad input."""


class NetBoosterError(Exception):
    """Bad input met during training: one line that names the culprit and the remedy.

    The command line prints it without a traceback and ends with exit code 2.
    """


class EchoedError(NetBoosterError):
    """The error of a `torchrun`'s writing process, raised in the others, which need not say it."""
