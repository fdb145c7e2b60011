"""Where the ranks of an attempt run: the port and its implementations."""
