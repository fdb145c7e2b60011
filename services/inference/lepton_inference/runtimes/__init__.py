"""Runtimes, which execute models: the interface, and ONNX Runtime."""
