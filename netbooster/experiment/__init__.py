# SPDX-License-Identifier: Apache-2.0
"""Recipes, the runs that they describe, and the tables of such runs."""
