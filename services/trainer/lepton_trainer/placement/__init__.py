"""Placements, which run the ranks of an attempt: the interface and its implementations."""
