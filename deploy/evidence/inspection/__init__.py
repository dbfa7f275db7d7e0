# SPDX-License-Identifier: Apache-2.0
"""What is in a .tflite file, as facts and as a picture."""

from deploy.evidence.inspection.facts import (
    Inspection,
    OperatorFacts,
    ScheduleFacts,
    inspect_model,
)
from deploy.evidence.inspection.svg import render_svg

__all__ = ["Inspection", "OperatorFacts", "ScheduleFacts", "inspect_model", "render_svg"]
