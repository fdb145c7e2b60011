"""The training engine, which trains a recipe on data in a workspace. Only this package and recipes import torch."""
