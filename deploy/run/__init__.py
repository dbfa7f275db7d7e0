"""The stages of a run as functions: what the command line calls, for use from Python.

Each takes and returns plain objects (paths, hashes, figures), writes the same files as the command
of its name, skips what is up to date, raises :class:`~deploy.core.errors.DeployError` or
:class:`~netbooster.common.errors.NetBoosterError`, and is silent unless it gets a ``console``.
"""

from deploy.run.building import build
from deploy.run.compiling import compile
from deploy.run.fitting import Candidate, Fitting, fit
from deploy.run.measuring import measure
from deploy.run.packaging import package
from deploy.run.planning import InputMode, Planning, ScheduleName
from deploy.run.quantizing import quantize
from deploy.run.reporting import report
from deploy.run.results import Compiled, Firmware, Quantized, Report
from deploy.run.verifying import verify

__all__ = [
    "Candidate",
    "Compiled",
    "Firmware",
    "Fitting",
    "InputMode",
    "Planning",
    "Quantized",
    "Report",
    "ScheduleName",
    "build",
    "compile",
    "fit",
    "measure",
    "package",
    "quantize",
    "report",
    "verify",
]
