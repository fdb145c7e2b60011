"""Preprocessing that travels with a model: steps.py says what, pipeline.py does it (numpy), fit.py learns it from data."""
