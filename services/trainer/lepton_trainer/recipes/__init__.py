"""Recipes: one folder each, with settings.py (no torch), data.py, model.py and recipe.py."""
