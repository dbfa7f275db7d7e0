# SPDX-License-Identifier: Apache-2.0
"""How much of a target's RAM is left for a model's arena."""

from deploy.core.errors import DeployError
from deploy.targets import Target

# Variables of harness, port and generated code: 104 to 120 bytes on the boards of
# deploy/targets, with room for alignment. The linker enforces the real sizes.
STATIC_BYTES = 256


def arena_limit(target: Target, ram: int | None = None) -> int | None:
    """Bytes that the arena can take; None where nothing limits them (the host).

    Args:
        ram: bytes of RAM for everything, instead of what the target's file says.

    Raises:
        DeployError: stack and variables alone take more.
    """
    if ram is None and target.ram is None:
        return None
    if ram is None and target.fast_ram is not None and target.ram is not None:
        return target.ram.length  # stack and variables lie beside it
    total = ram if ram is not None else target.ram_bytes
    rest = total - (target.stack_bytes or 0) - STATIC_BYTES
    if rest <= 0:
        raise DeployError(
            f"{total:,} bytes of RAM are no more than {target.name}'s stack of "
            f"{target.stack_bytes or 0:,} and {STATIC_BYTES:,} for variables"
        )
    return rest
