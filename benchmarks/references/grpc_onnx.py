"""A bare grpc.aio server of the Open Inference Protocol: no authentication, no checks, no batching.

`python grpc_onnx.py MODEL PORT`.
"""

import asyncio
import sys
from typing import Any

import grpc
import numpy as np
import onnxruntime

from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


class Servicer(GRPCInferenceServiceServicer):
    async def ModelInfer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:  # noqa: ARG002, N802
        x = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(tuple(request.inputs[0].shape))
        (y,) = session.run(["y"], {"x": x})
        response = oip.ModelInferResponse(model_name=request.model_name)
        response.outputs.add(name="y", datatype="FP32", shape=y.shape)
        response.raw_output_contents.append(y.tobytes())
        return response


async def serve() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    # Only what is measured: the base class answers UNIMPLEMENTED to all else.
    add_GRPCInferenceServiceServicer_to_server(Servicer(), server)  # type: ignore[abstract]
    server.add_insecure_port(f"127.0.0.1:{sys.argv[2]}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
