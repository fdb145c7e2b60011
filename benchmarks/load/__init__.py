"""Closed-loop load generators: each client sends its next request when the answer to the last one has come."""
