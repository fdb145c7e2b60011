"""The Open Inference Protocol and `:predict` over HTTP."""
