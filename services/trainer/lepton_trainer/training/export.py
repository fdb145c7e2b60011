"""Exports the trained model to ONNX, and compares its outputs with PyTorch's."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.onnx_quiet import quiet_exporter
from lepton_core.model_format.signature import Signature
from lepton_trainer.training.loader import Examples

ABSOLUTE_TOLERANCE = 1e-4
RELATIVE_TOLERANCE = 1e-3
CHECKED_EXAMPLES = 32


def export_onnx(serving: nn.Module, signature: Signature, examples: Examples, path: Path) -> float:
    """Writes `path` with a dynamic batch dimension. Returns the largest difference to PyTorch's output on real
    examples.

    Raises INTERNAL if it exceeds the tolerance, for a batch of several examples or of one.
    """
    serving = copy.deepcopy(serving).cpu().eval()
    inputs = tuple(tensor.cpu() for tensor in examples.take(torch.arange(min(len(examples), CHECKED_EXAMPLES))).inputs)
    # The exporter would treat a batch of one as a constant.
    example = tuple(tensor[:2] if len(tensor) > 1 else torch.cat([tensor, tensor]) for tensor in inputs)
    names = [tensor.name for tensor in signature.model_inputs]
    with quiet_exporter():
        torch.onnx.export(
            serving,
            example,
            path,
            input_names=names,
            output_names=[tensor.name for tensor in signature.outputs],
            # One entry for *inputs, with one entry for each of them.
            dynamic_shapes=(tuple({0: torch.export.Dim.DYNAMIC} for _ in names),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return _largest_difference(serving, inputs, names, path)


def _largest_difference(serving: nn.Module, inputs: tuple[torch.Tensor, ...], names: list[str], path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    largest = 0.0
    for size in (len(inputs[0]), 1):
        batch = tuple(tensor[:size] for tensor in inputs)
        with torch.no_grad():
            expected = serving(*batch).numpy()
        feed = {name: tensor.numpy() for name, tensor in zip(names, batch, strict=True)}
        (given,) = session.run(None, feed)
        if given.shape != expected.shape or not np.allclose(given, expected, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE):
            worst = float(np.abs(given - expected).max()) if given.shape == expected.shape else f"shape {given.shape}"
            raise LeptonError(ErrorCode.INTERNAL, f"the exported model differs from the trained one: {worst}")
        largest = max(largest, float(np.abs(given - expected).max()))
    return largest
