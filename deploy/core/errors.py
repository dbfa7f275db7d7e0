"""The one exception that deploy raises for bad input."""


class DeployError(Exception):
    """Bad input met during deployment: one line that names the culprit and the remedy.

    The command line prints it without a traceback and ends with exit code 2.
    """
