"""The training engine: what a rank does with a recipe, data and a workspace. The only part that imports torch."""
