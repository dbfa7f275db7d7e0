"""Data sets that need no download: real digits, rendered glyphs."""
