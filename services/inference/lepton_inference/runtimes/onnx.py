"""ONNX Runtime. A model is loaded from bytes whose digest was checked; no other file is read."""

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.formats import ONNX
from lepton_core.model_format.graph_check import check_graph, first_line, load_failure
from lepton_core.model_format.onnx_check import check_onnx_bytes
from lepton_core.model_format.signature import Signature
from lepton_inference.runtimes.run_limit import RunLimit

Array = NDArray[Any]

LIMIT = RunLimit()
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


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
        """`threads` 0: ONNX Runtime's default. Raises INVALID if the graph is damaged or does not match the
        signature."""
        options = ort.SessionOptions()
        options.log_severity_level = 4  # errors are raised as exceptions and reported by the caller
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin between two requests would take the cores from the transports.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [name for name in _PROVIDERS if name in ort.get_available_providers()]
        try:
            self._session = ort.InferenceSession(model, options, providers=providers)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class for each of its status codes
            raise load_failure(error) from None
        check_graph(self._session, signature)
        self._outputs = [tensor.name for tensor in signature.outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        run = LIMIT.run()
        run.begin()
        try:
            values = self._session.run(self._outputs, inputs, run.options)
        except Exception as error:  # noqa: BLE001 - the same
            if run.end():
                detail = f"the model was stopped, since it ran for more than {LIMIT.seconds:g} s with this input"
                raise LeptonError(ErrorCode.INVALID, detail) from None
            raise LeptonError(ErrorCode.INVALID, f"the model refuses this input: {first_line(error)}") from None
        run.end()
        return dict(zip(self._outputs, values, strict=True))
