"""Whether the graph of a loaded ONNX model is the one that its signature describes. Needs no onnxruntime itself."""

from typing import Any

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec

MAX_REASON_CHARS = 300
_TYPES = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(float16)": Datatype.FP16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(string)": Datatype.BYTES,
}


def check_graph(session: Any, signature: Signature) -> None:
    """`session` is an onnxruntime.InferenceSession. Raises INVALID naming the first tensor that is not the signature's.

    The graph may have more outputs than the signature names, but no other inputs.
    """
    _compare("input", session.get_inputs(), signature.model_inputs, every=True)
    _compare("output", session.get_outputs(), signature.outputs, every=False)


def load_failure(error: Exception) -> LeptonError:
    """What onnxruntime raised when it was given the file: the first line of it."""
    return _refused(f"ONNX Runtime cannot load it: {first_line(error)}")


def first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0]
    # The beginning may be the paths of source files; what is wrong comes last.
    return line if len(line) <= MAX_REASON_CHARS else f"{line[:60]} … {line[60 - MAX_REASON_CHARS :]}"


def _compare(role: str, found: Any, wanted: tuple[TensorSpec, ...], *, every: bool) -> None:
    graph = {tensor.name: tensor for tensor in found}
    names = {tensor.name for tensor in wanted}
    if every and (more := graph.keys() - names):
        raise _refused(f"its graph has the {role} {min(more)!r}, which the signature does not name")
    for tensor in wanted:
        node = graph.get(tensor.name)
        if node is None:
            there = ", ".join(map(repr, graph))[:300]
            raise _refused(f"the signature names the {role} {tensor.name!r}, which its graph has not; it has: {there}")
        if _TYPES.get(node.type) is not tensor.datatype:
            raise _refused(
                f"{role} {tensor.name!r} is {node.type} in its graph, and {tensor.datatype} in the signature"
            )
        # A name, or None, stands in the graph for any size. Rank 0 is also what a graph without shapes says.
        sizes = [size if isinstance(size, int) else -1 for size in node.shape]
        agrees = len(sizes) == len(tensor.shape) and all(
            -1 in (here, there) or here == there for here, there in zip(sizes, tensor.shape, strict=True)
        )
        if sizes and not agrees:
            raise _refused(
                f"{role} {tensor.name!r} has shape {sizes} in its graph, and {list(tensor.shape)} in the signature"
            )


def _refused(reason: str) -> LeptonError:
    return LeptonError(ErrorCode.INVALID, f"model.onnx: {reason}")
