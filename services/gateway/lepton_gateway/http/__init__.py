"""The HTTP API. Each route converts the request, makes one call and converts its result."""
