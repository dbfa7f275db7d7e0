# SPDX-License-Identifier: Apache-2.0
"""Data sets of image files: folders, published sets, shards."""
