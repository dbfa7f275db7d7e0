"""Recipes, the runs that they describe, and the tables of such runs."""
