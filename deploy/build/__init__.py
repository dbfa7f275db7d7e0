"""Generated C to programs: firmware, a library for this machine, facts of ELF files."""
