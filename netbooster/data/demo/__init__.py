# SPDX-License-Identifier: Apache-2.0
"""Data sets that need no download: real digits, rendered glyphs."""
