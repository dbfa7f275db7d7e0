"""Data sets of image files: folders, published sets, shards."""
