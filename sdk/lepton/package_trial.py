"""Checks that a model package can be served, when it is written: loads the graph and runs it on an example."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lepton_core.model_format.graph_check import check_graph, first_line, load_failure
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec

# Sizes used for dynamic dimensions if there is no example; the server's warm-up uses the same ones.
_SIZES = (1, 32, 224)


def open_session(runtime: Any, path: Path) -> Any:
    """An InferenceSession of the module onnxruntime. Raises INVALID with its reason, such as a too new IR version."""
    try:
        return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class for each of its status codes
        raise load_failure(error) from None


def try_package(folder: Path, signature: Signature, example: Any) -> None:
    """Does nothing if onnxruntime is not installed. Raises INVALID if the graph does not match the signature, and
    ValueError if it fails on the example, or answers NaN or infinity.

    `example`: a tensor, an array or nested lists of numbers; a tuple or list of tensors or arrays in the order of the
    signature's inputs; a dict by name; or None for a batch of one that is filled with ones.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
        from lepton_core.model_format.features.pipeline import Pipeline
    except ImportError:
        return
    session = open_session(runtime, folder / "model.onnx")
    check_graph(session, signature)
    pipeline = Pipeline.of(signature)
    names = [tensor.name for tensor in signature.outputs]

    def run(raw: Mapping[str, Any]) -> list[Any]:
        try:
            return list(session.run(names, pipeline(raw)))
        except Exception as error:  # noqa: BLE001 - the same
            raise ValueError(f"the model does not answer the example: {first_line(error)}") from None

    if example is not None:
        _check_finite(names, run(_by_name(example, signature)), "the example")
        return
    failure: ValueError | None = None
    for size in _SIZES:
        try:
            answers = run({tensor.name: _ones(tensor, size) for tensor in signature.inputs})
        except ValueError as error:
            failure = failure or error
        else:
            _check_finite(names, answers, "an example of ones; pass `example` if the model needs other input")
            return
    assert failure is not None
    raise failure


def _by_name(example: Any, signature: Signature) -> dict[str, Any]:
    wanted = [tensor.name for tensor in signature.inputs]
    if isinstance(example, Mapping):
        given = dict(example)
    else:
        # A list of numbers is one tensor; a list of arrays is several.
        is_several = isinstance(example, tuple | list) and all(hasattr(each, "shape") for each in example)
        values = example if is_several else (example,)
        if len(values) != len(wanted):
            raise ValueError(f"example: got {len(values)} tensors; allowed: one for each of {', '.join(wanted)}")
        given = dict(zip(wanted, values, strict=True))
    if set(given) != set(wanted):
        raise ValueError(f"example: got {', '.join(map(str, given))}; allowed: {', '.join(wanted)}")
    return {spec.name: _array(given[spec.name], spec) for spec in signature.inputs}


def _array(value: Any, spec: TensorSpec) -> Any:
    import numpy as np

    from lepton_core.model_format.signature import NUMPY_TYPES

    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(NUMPY_TYPES[spec.datatype], copy=False)


def _ones(spec: TensorSpec, size: int) -> Any:
    """Ones for floating point; zeros for integers, which are often indices, and 0 is always a valid index."""
    import numpy as np

    from lepton_core.model_format.signature import NUMPY_TYPES

    shape = (1 if spec.shape[0] == -1 else spec.shape[0], *(size if each == -1 else each for each in spec.shape[1:]))
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    fill = "" if spec.datatype is Datatype.BYTES else int(dtype.kind == "f")
    return np.full(shape, fill, dtype)


def _check_finite(names: list[str], answers: list[Any], example: str) -> None:
    import numpy as np

    for name, answer in zip(names, answers, strict=True):
        if answer.dtype.kind == "f" and not np.isfinite(answer).all():
            raise ValueError(f"the model answers {name} with NaN or infinity on {example}")
