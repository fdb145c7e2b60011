"""Preprocessing that travels with a model: steps.py says what, pipeline.py does it in numpy,
fit.py learns it from data.
"""
