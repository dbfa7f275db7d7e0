# SPDX-License-Identifier: Apache-2.0
"""The stages of a run as functions: what the command line calls, for use from Python.

The whole job; what is done already is not done again:

>>> from deploy import run
>>> from netbooster.experiment.recipe import load_recipe
>>> recipe = load_recipe("digits").override({"train.steps": 40, "train.batch_size": 32})
>>> result = run.pipeline(recipe, target="mps2-an386", folder="runs/digits", images=2)
>>> result.selection.method in ("vanilla", "netbooster"), result.report.kept
(True, True)

Stage by stage, of one run (or of a comparison, whose selected run is returned):

>>> quantized = run.quantize("runs/digits/netbooster", ranges="mse")
>>> quantized.tflite.name, quantized.ranges
('model.tflite', 'mse')
>>> compiled = run.compile(quantized, target="nano-33-ble", schedule="rows")
>>> firmware = run.build(compiled)  # netbooster flash writes it; measure(firmware, on=PORT)
>>> firmware.elf.name, firmware.sizes.arena == compiled.arena_bytes
('firmware-nano-33-ble.elf', True)
>>> measured = run.measure(firmware, images=2, on="qemu")  # or int8 images of your own
>>> measured.target, measured.stand_in  # QEMU knows no nRF52840: its machine of the same core
('nano-33-ble', 'mps2-an386')
>>> measured.exact.host, measured.instructions > 0
(True, True)
>>> run.report("runs/digits/netbooster").path.name
'report.html'

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
from deploy.run.selection import Score, Selection
from deploy.run.stages import Result, Stage, pipeline
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
    "Result",
    "ScheduleName",
    "Score",
    "Selection",
    "Stage",
    "build",
    "compile",
    "fit",
    "measure",
    "package",
    "pipeline",
    "quantize",
    "report",
    "verify",
]
