"""The error for a registry that cannot start."""


class RefusedToStart(Exception):
    """A problem with the database or the files, explained for the operator."""
