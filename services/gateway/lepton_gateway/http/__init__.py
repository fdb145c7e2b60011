"""The HTTP door: each route converts, calls, converts."""
