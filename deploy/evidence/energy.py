# SPDX-License-Identifier: Apache-2.0
"""Energy of an inference, estimated from the data sheet's supply current."""

from dataclasses import dataclass

from deploy.targets import Target


@dataclass(frozen=True)
class EnergyEstimate:
    """An estimate, never a measurement.

    Attributes:
        microjoules: of one inference: current per MHz times clock, voltage and time.
        source: where the current stands, and for which supply.
    """

    microjoules: float
    source: str


def estimate_energy(target: Target, seconds: float | None) -> EnergyEstimate | None:
    """Energy of ``seconds`` at full speed; None where the target file gives no current.

    The figure of a data sheet holds for core and memories with peripherals off, at 25 degrees
    Celsius; regulator losses, LEDs and debug probes of a board come on top.
    """
    if target.energy is None or seconds is None:
        return None
    data = target.energy
    microamps = data.microamps_per_mhz * target.clock_hz / 1e6
    return EnergyEstimate(
        microjoules=microamps * data.volts * seconds,
        source=f"{data.source}: {data.microamps_per_mhz:g} uA/MHz at {data.volts:g} V",
    )
