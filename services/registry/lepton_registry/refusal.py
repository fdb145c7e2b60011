"""Why the registry does not start."""


class RefusedToStart(Exception):
    """What is wrong with the database or the files, in words for whoever starts the registry."""
