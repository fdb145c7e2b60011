"""From the verified files of a package to a warm model."""

import time
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.onnx_check import check_onnx_bytes
from lepton_core.model_format.package_check import check_signature
from lepton_core.model_format.signature import NUMPY_TYPES, Datatype, Signature
from lepton_inference.batching import BatchingQueue, BatchLimits, Model, Tensors
from lepton_inference.revisions import Revision
from lepton_inference.runtimes.onnx import OnnxRuntime
from lepton_inference.tensors import InputTable

SIGNATURE_FILE, MODEL_FILE = "signature.json", "model.onnx"
SERVED_FILES = (SIGNATURE_FILE, MODEL_FILE)

# Tried in turn for dimensions of any size: a convolution may need more than one pixel.
_SIZES = (1, 32, 224)
_WARM_RUNS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What every model of a replica gets."""

    queue_capacity: int
    queue_bytes: int
    max_batch_rows: int
    inline_seconds: float
    threads: int


class ServedModel:
    """A warm revision, with everything a request needs at hand."""

    def __init__(self, revision: Revision, signature: Signature, queue: BatchingQueue, platform: str) -> None:
        self.revision = revision
        self.signature = signature
        self.queue = queue
        self.platform = platform
        self.version = str(revision.version)
        self.inputs = InputTable(signature.inputs)
        self.outputs: dict[str, str] = {tensor.name: tensor.datatype.value for tensor in signature.outputs}


def load_model(revision: Revision, files: dict[str, bytes], limits: Limits, executor: Executor) -> ServedModel:
    """Blocks while it loads and warms up. Raises INVALID when the package cannot serve."""
    signature = check_signature(files[SIGNATURE_FILE])
    content = files[MODEL_FILE]
    check_onnx_bytes(content, MODEL_FILE)
    pipeline = Pipeline.of(signature)

    def start(threads: int) -> tuple[OnnxRuntime, Model, int]:
        runtime = OnnxRuntime(content, signature, threads)

        def model(raw: Tensors) -> Tensors:
            return runtime.run(pipeline(raw))

        return runtime, model, _warm_up(model, signature, limits)

    # A small model is quickest alone on one core; the threads of many such models would only be in each other's way.
    runtime, model, inline_bytes = start(limits.threads or 1)
    if not inline_bytes and not limits.threads:
        runtime, model, inline_bytes = start(0)
    queue_limits = BatchLimits(
        capacity=limits.queue_capacity,
        capacity_bytes=limits.queue_bytes,
        rows=limits.max_batch_rows if _batches(signature) else 1,
        inline_bytes=inline_bytes,
        inline_seconds=limits.inline_seconds,
    )
    return ServedModel(revision, signature, BatchingQueue(model, queue_limits, executor), runtime.platform)


def _batches(signature: Signature) -> bool:
    """Whether rows of several requests may go through together: every tensor leaves its first dimension open."""
    tensors = (*signature.inputs, *signature.model_inputs, *signature.outputs)
    return all(tensor.shape[0] == -1 for tensor in tensors)


def _warm_up(model: Model, signature: Signature, limits: Limits) -> int:
    """Runs the model, checks what it answers, and measures up to how many bytes of input it stays quick."""
    size = _working_size(model, signature)
    inline_bytes = 0
    rows = 1
    while rows <= limits.max_batch_rows:
        sample = _sample(signature, rows, size)
        if _seconds(model, sample) > limits.inline_seconds:
            break
        inline_bytes = sum(array.nbytes for array in sample.values())
        if not _batches(signature):
            break
        rows *= 2
    return inline_bytes


def _working_size(model: Model, signature: Signature) -> int:
    failure: LeptonError | None = None
    for size in _SIZES:
        try:
            _check_answer(signature, model(_sample(signature, 1, size)))
        except LeptonError as error:
            failure = failure or error
        else:
            return size
    assert failure is not None
    raise LeptonError(ErrorCode.INVALID, f"{MODEL_FILE}: warm-up failed: {failure.detail}")


def _seconds(model: Model, sample: Tensors) -> float:
    best = float("inf")
    for _ in range(_WARM_RUNS):
        started = time.perf_counter()
        model(sample)
        best = min(best, time.perf_counter() - started)
    return best


def _sample(signature: Signature, rows: int, size: int) -> Tensors:
    sample: Tensors = {}
    for tensor in signature.inputs:
        first = rows if tensor.shape[0] == -1 else tensor.shape[0]
        shape = (first, *(size if each == -1 else each for each in tensor.shape[1:]))
        empty = "" if tensor.datatype is Datatype.BYTES else 0
        sample[tensor.name] = np.full(shape, empty, NUMPY_TYPES[tensor.datatype])
    return sample


def _check_answer(signature: Signature, outputs: Tensors) -> None:
    for tensor in signature.outputs:
        found = outputs[tensor.name]
        wanted = tensor.shape
        if found.ndim != len(wanted) or any(w not in (-1, g) for w, g in zip(wanted, found.shape, strict=True)):
            reason = f"output {tensor.name!r} has shape {list(found.shape)}, and {list(wanted)} in the signature"
            raise LeptonError(ErrorCode.INVALID, reason)
