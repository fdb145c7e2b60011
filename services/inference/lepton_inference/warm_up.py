"""Loads a package and runs it on samples, to check that its outputs match the signature, and to measure its speed.

Runs in a child process (`trial.py`), since a graph may take any time and memory.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.package_check import check_signature
from lepton_core.model_format.signature import NUMPY_TYPES, Datatype, Signature
from lepton_inference.batching import Model, Tensors
from lepton_inference.runtimes.discovery import runtime_for
from lepton_inference.runtimes.port import LoadedModel

SIGNATURE_FILE = "signature.json"

# Sizes that are tried in turn for dynamic dimensions: a convolution may need more than one pixel.
_SIZES = (1, 32, 224)
_WARM_RUNS = 3
# In a request, an element of type BYTES has at least its length of 4 bytes.
_TEXT_BYTES = 4


@dataclass(frozen=True, slots=True)
class WarmUpLimits:
    max_batch_rows: int
    # A batch that takes longer does not run on the event loop.
    inline_seconds: float
    # 0: one thread for a fast model, else the runtime's default.
    threads: int
    # Size of the largest request: a larger row cannot be sent.
    max_request_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How to serve a package; the result of its warm-up."""

    threads: int
    # Size of the largest batch that runs on the event loop; 0 for a slow model.
    inline_bytes: int


def warm_up(files: Mapping[str, bytes], limits: WarmUpLimits) -> Plan:
    """Blocks. Raises INVALID if the package cannot be served."""
    signature = check_signature(files[SIGNATURE_FILE])
    runtime = runtime_for(files)
    runtime.check(files)
    pipeline = Pipeline.of(signature)

    def measure(threads: int) -> int:
        model = as_model(runtime.load(files, signature, threads), pipeline)
        return _inline_bytes(model, signature, limits)

    # A small model is fastest on one core; threads of many such models would only disturb each other.
    threads = limits.threads or 1
    inline_bytes = measure(threads)
    if not inline_bytes and not limits.threads:
        threads = 0
        inline_bytes = measure(threads)
    return Plan(threads, inline_bytes)


def as_model(loaded: LoadedModel, pipeline: Pipeline) -> Model:
    """Runs preprocessing and the model: raw inputs → outputs of the signature."""

    def model(raw: Tensors) -> Tensors:
        return loaded.run(pipeline(raw))

    return model


def has_open_batch(signature: Signature) -> bool:
    """Whether rows of several requests can be in one batch: the first dimension of every tensor is dynamic."""
    tensors = (*signature.inputs, *signature.model_inputs, *signature.outputs)
    return all(tensor.shape[0] == -1 for tensor in tensors)


def _inline_bytes(model: Model, signature: Signature, limits: WarmUpLimits) -> int:
    """The size of the largest input for which the model is fast enough for the event loop."""
    size = _working_size(model, signature, limits.max_request_bytes)
    inline_bytes = 0
    rows = 1
    while rows <= limits.max_batch_rows and _bytes(signature, rows, size) <= limits.max_request_bytes:
        sample = _sample(signature, rows, size)
        if _seconds(model, sample) > limits.inline_seconds:
            break
        inline_bytes = sum(array.nbytes for array in sample.values())
        if not has_open_batch(signature):
            break
        rows *= 2
    return inline_bytes


def _working_size(model: Model, signature: Signature, max_bytes: int) -> int:
    smallest = _bytes(signature, 1, _SIZES[0])
    if smallest > max_bytes:
        allowed = f"at most {max_bytes} bytes, the largest request"
        raise invalid(f"{SIGNATURE_FILE}.inputs", "one row is larger than any request", f"{smallest} bytes", allowed)
    failure: LeptonError | None = None
    for size in _SIZES:
        if _bytes(signature, 1, size) > max_bytes:
            break
        try:
            _check_answer(signature, model(_sample(signature, 1, size)))
        except LeptonError as error:
            failure = failure or error
        else:
            return size
    assert failure is not None
    raise LeptonError(ErrorCode.INVALID, f"warm-up failed: {failure.detail}")


def _seconds(model: Model, sample: Tensors) -> float:
    best = float("inf")
    for _ in range(_WARM_RUNS):
        started = time.perf_counter()
        model(sample)
        best = min(best, time.perf_counter() - started)
    return best


def _shapes(signature: Signature, rows: int, size: int) -> list[tuple[int, ...]]:
    return [
        (rows if each.shape[0] == -1 else each.shape[0], *(size if n == -1 else n for n in each.shape[1:]))
        for each in signature.inputs
    ]


def _bytes(signature: Signature, rows: int, size: int) -> int:
    """The size of a row, computed from the shapes before memory is allocated."""
    total = 0
    for tensor, shape in zip(signature.inputs, _shapes(signature, rows, size), strict=True):
        is_text = tensor.datatype is Datatype.BYTES
        element = _TEXT_BYTES if is_text else np.dtype(NUMPY_TYPES[tensor.datatype]).itemsize
        total += math.prod(shape) * element
    return total


def _sample(signature: Signature, rows: int, size: int) -> Tensors:
    return {
        tensor.name: np.full(shape, "" if tensor.datatype is Datatype.BYTES else 0, NUMPY_TYPES[tensor.datatype])
        for tensor, shape in zip(signature.inputs, _shapes(signature, rows, size), strict=True)
    }


def _check_answer(signature: Signature, outputs: Tensors) -> None:
    for tensor in signature.outputs:
        found = outputs[tensor.name]
        wanted = tensor.shape
        if found.ndim != len(wanted) or any(w not in (-1, g) for w, g in zip(wanted, found.shape, strict=True)):
            reason = f"output {tensor.name!r} has shape {list(found.shape)}, but {list(wanted)} in the signature"
            raise LeptonError(ErrorCode.INVALID, reason)
