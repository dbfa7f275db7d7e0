"""Which emulators there are, and how long an emulated inference may take: in instructions, which
no busy machine changes."""

from deploy.core.errors import DeployError

EMULATORS = ("qemu", "renode")

# MobileNetV2 at 224 pixels in a plain interpreter takes about a tenth of that.
MAX_INSTRUCTIONS = 50_000_000_000


def limit_error(emulator: str, limit: int, log: str) -> DeployError:
    """The error for an inference that executed more than ``limit`` instructions."""
    return DeployError(
        f"{emulator}: the inference had no end after {limit:,} instructions: it hangs, or give "
        f"--max-instructions more; {log}"
    )
