"""One prediction over gRPC, by the Open Inference Protocol."""

import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lepton_core.grpc.client import open_sync_channel
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub


@dataclass(frozen=True)
class Answer:
    label: str
    probability: float
    prediction_id: str


def predict_image(address: str, api_key: str, model: str, image: Path, labels: list[str]) -> Answer:
    """Raises LeptonError with the same code as over HTTP."""
    with open_sync_channel(address, api_key) as channel:
        stub = GRPCInferenceServiceStub(channel)
        metadata = stub.ModelMetadata(oip.ModelMetadataRequest(name=model))
        tensor = metadata.inputs[0]
        _, height, width, channels = tensor.shape
        with Image.open(image) as opened:
            pixels = opened.convert("L" if channels == 1 else "RGB").resize((width, height)).tobytes()
        request = oip.ModelInferRequest(
            model_name=model,
            inputs=[
                oip.ModelInferRequest.InferInputTensor(
                    name=tensor.name, datatype=tensor.datatype, shape=[1, height, width, channels]
                )
            ],
            raw_input_contents=[pixels],
        )
        answer = stub.ModelInfer(request)
    raw = answer.raw_output_contents[0]
    probabilities = struct.unpack(f"<{len(raw) // 4}f", raw)
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    return Answer(labels[best], probabilities[best], answer.parameters["prediction_id"].string_param)
