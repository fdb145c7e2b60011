"""Bytes: the object store, and moving files to and from it."""
