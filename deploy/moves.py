"""Operators that only move data about: each costs a microcontroller memory, time or both."""

DATA_MOVES = ("TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "RESHAPE", "PAD", "PADV2")
