"""What executes a model: the port, and ONNX Runtime behind it."""
