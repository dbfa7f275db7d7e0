# SPDX-License-Identifier: Apache-2.0
"""The JSON files of a run folder, as far as the report reads them; a measurement has its own
module, :mod:`deploy.evidence.measurement`.

Every model ignores keys that it does not know, so that the writers may add some.
"""

from pydantic import BaseModel, Field, FiniteFloat, NonNegativeInt

Shape = list[int]
Fraction = FiniteFloat | None


class Accuracy(BaseModel):
    """Fractions of right answers, 0 to 1."""

    train: Fraction = Field(None, ge=0, le=1)
    val: Fraction = Field(None, ge=0, le=1)
    test: Fraction = Field(None, ge=0, le=1)


class Summary(BaseModel):
    """``summary.json``: what the training side says about a final (contracted) network."""

    network: str
    parameters: NonNegativeInt
    bn_parameters: NonNegativeInt
    macs: NonNegativeInt
    tensor_shapes: list[tuple[str, Shape]]
    state_shapes: list[tuple[str, Shape]]
    accuracy: Accuracy
    giant_accuracy: Accuracy | None = None
    contraction_error: float | None = None
    steps: dict[str, int] = {}


class CardAccuracy(BaseModel):
    """Accuracy of one model; the test split of ``test_images`` images."""

    float_val: Fraction = Field(None, ge=0, le=1)
    float_test: Fraction = Field(None, ge=0, le=1)
    int8_test: Fraction = Field(None, ge=0, le=1)
    test_images: NonNegativeInt | None = None


class CardQuantization(BaseModel):
    """How the int8 model was calibrated."""

    method: str
    calibration_samples: NonNegativeInt


class ModelCard(BaseModel):
    """``model.json``: what travels with the flatbuffer."""

    network: str
    labels: list[str]
    preprocess: dict[str, object] = {}
    accuracy: CardAccuracy
    quantization: CardQuantization | None = None
    hashes: dict[str, str | None] = {}


class PlanLayer(BaseModel):
    """One layer of the memory plan; sizes in bytes."""

    name: str
    op: str
    kernel: str
    macs: NonNegativeInt
    output_shape: Shape
    weight_bytes: NonNegativeInt = 0
    table_bytes: NonNegativeInt = 0


class PlanFile(BaseModel):
    """``generated/plan.json``: the memory plan, arena in bytes."""

    tflite_sha256: str
    arena_bytes: NonNegativeInt
    arena_peak_layer: NonNegativeInt | None = None
    layers: list[PlanLayer]


class MetricPoint(BaseModel):
    """One line of ``metrics.jsonl``; loss and accuracy may be non-finite when training diverged."""

    phase: str
    step: NonNegativeInt
    loss: float | None = None
    accuracy: float | None = None
    val_accuracy: float | None = None
    lr: float | None = None
    alpha: float | None = None
    seconds: float | None = None
