"""ONNX Runtime. A model is bytes whose digest was checked: nothing is read beside them."""

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.formats import ONNX
from lepton_core.model_format.onnx_check import check_onnx_bytes
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec

Array = NDArray[Any]

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
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


class OnnxRuntime:
    platform = "onnxruntime_onnx"
    files = (ONNX.model_file,)

    def check(self, files: Mapping[str, bytes]) -> None:
        check_onnx_bytes(files[ONNX.model_file], ONNX.model_file)

    def load(self, files: Mapping[str, bytes], signature: Signature, threads: int) -> "OnnxModel":
        return OnnxModel(files[ONNX.model_file], signature, threads)


RUNTIME = OnnxRuntime()


class OnnxModel:
    def __init__(self, model: bytes, signature: Signature, threads: int) -> None:
        """`threads` 0 leaves it to ONNX Runtime. Raises INVALID when the graph is none, or not the signature's."""
        options = ort.SessionOptions()
        options.log_severity_level = 4  # its complaints arrive as exceptions, and are reported where they matter
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores from the transports between two requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [name for name in _PROVIDERS if name in ort.get_available_providers()]
        try:
            self._session = ort.InferenceSession(model, options, providers=providers)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class for each of its status codes
            raise _refused(f"ONNX Runtime cannot load it: {_first_line(error)}") from None
        _compare("input", self._session.get_inputs(), signature.model_inputs, every=True)
        _compare("output", self._session.get_outputs(), signature.outputs, every=False)
        self._outputs = [tensor.name for tensor in signature.outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            values = self._session.run(self._outputs, inputs)
        except Exception as error:  # noqa: BLE001 - the same
            raise LeptonError(ErrorCode.INVALID, f"the model refuses this input: {_first_line(error)}") from None
        return dict(zip(self._outputs, values, strict=True))


def _compare(role: str, found: Any, wanted: tuple[TensorSpec, ...], *, every: bool) -> None:
    graph = {tensor.name: tensor for tensor in found}
    names = {tensor.name for tensor in wanted}
    if every and (more := graph.keys() - names):
        raise _refused(f"its graph has the {role} {min(more)!r}, which the signature does not name")
    for tensor in wanted:
        node = graph.get(tensor.name)
        if node is None:
            raise _refused(f"the signature names the {role} {tensor.name!r}, which its graph has not")
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


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
