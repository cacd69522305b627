"""Recipes: one file, one algorithm."""
