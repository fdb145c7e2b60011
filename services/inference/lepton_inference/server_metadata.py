"""The server metadata of the Open Inference Protocol."""

from importlib.metadata import version

NAME = "lepton-inference"
VERSION = version("lepton-inference")
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository")
