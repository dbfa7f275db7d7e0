# SPDX-License-Identifier: Apache-2.0
"""Generated C to programs: firmware, a library for this machine, facts of ELF files."""
