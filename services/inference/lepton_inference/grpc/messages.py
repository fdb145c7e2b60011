"""Converts the protocol's messages to tensors and back."""

from functools import lru_cache

from lepton_core.errors import invalid
from lepton_core.model_format.signature import TensorSpec
from lepton_inference.dataplane import Answer
from lepton_inference.requested_outputs import CLASSIFICATION, RequestedOutput, refuse_shared_memory
from lepton_inference.tensors import WireTensor, to_list, to_raw
from lepton_proto.inference import open_inference_pb2 as oip

# The list of `InferTensorContents` for the elements of each type; FP16 has none, and is always raw.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_tensors(request: oip.ModelInferRequest) -> list[WireTensor]:
    for index, each in enumerate(request.inputs):
        if each.parameters:
            refuse_shared_memory(each.parameters, ("inputs", index))
    raw = request.raw_input_contents
    if not raw:
        return [_typed(tensor, index) for index, tensor in enumerate(request.inputs)]
    if len(raw) != len(request.inputs):
        message = "must have one entry for each input"
        raise invalid("raw_input_contents", message, len(raw), str(len(request.inputs)))
    tensors: list[WireTensor] = []
    # Slices are lists: iterating over protobuf's own containers is slow.
    for tensor, data in zip(request.inputs[:], raw[:], strict=True):
        if tensor.HasField("contents") and tensor.contents.ListFields():
            field = ("inputs", len(tensors), "contents")
            raise invalid(field, "cannot be used together with raw_input_contents", allowed="one of the two")
        tensors.append(WireTensor(tensor.name, tensor.datatype, tensor.shape[:], data, raw=True))
    return tensors


def _typed(tensor: oip.ModelInferRequest.InferInputTensor, index: int) -> WireTensor:
    kind = _CONTENTS.get(tensor.datatype)
    if tensor.datatype == "FP16" and tensor.HasField("contents"):
        raise invalid(("inputs", index, "contents"), "holds no FP16", allowed="raw_input_contents")
    data = getattr(tensor.contents, kind) if kind else []
    if kind and not data and tensor.HasField("contents"):
        filled = [field.name for field, _ in tensor.contents.ListFields()]
        if filled:
            message = f"wrong list for elements of type {tensor.datatype}"
            raise invalid(("inputs", index, "contents"), message, filled[0], kind)
    return WireTensor(tensor.name, tensor.datatype, tensor.shape[:], data)


def read_outputs(request: oip.ModelInferRequest) -> list[RequestedOutput]:
    return [_requested(output, index) for index, output in enumerate(request.outputs)]


def _requested(output: oip.ModelInferRequest.InferRequestedOutputTensor, index: int) -> RequestedOutput:
    if not output.parameters:
        return RequestedOutput(output.name)
    refuse_shared_memory(output.parameters, ("outputs", index))
    wanted = None
    if CLASSIFICATION in output.parameters:
        value = output.parameters[CLASSIFICATION]
        # A text that is not a number is passed on, so that the error shows it.
        wanted = getattr(value, value.WhichOneof("parameter_choice") or "int64_param")
    return RequestedOutput(output.name, wanted)


def timeout_seconds(request: oip.ModelInferRequest) -> float | None:
    """The parameter `timeout` in microseconds, as Triton's clients send it."""
    if "timeout" not in request.parameters:
        return None
    value = request.parameters["timeout"]
    found = value.int64_param or value.uint64_param
    return found / 1e6 if found > 0 else None


def to_response(request: oip.ModelInferRequest, answer: Answer) -> oip.ModelInferResponse:
    """Outputs in the form of the inputs: raw, or typed lists."""
    served = answer.served
    revision = served.revision
    response = oip.ModelInferResponse.FromString(
        _same_in_every_response(
            revision.deployment, served.version, revision.version_id, revision.id, served.answer_labels
        )
    )
    response.id = request.id
    response.parameters["prediction_id"].string_param = answer.prediction_id
    # Raw contents belong to outputs by position, so one output of type FP16 makes all of them raw.
    typed = not request.raw_input_contents and all(answer.datatype(name) in _CONTENTS for name in answer.outputs)
    for name, values in answer.outputs.items():
        datatype = answer.datatype(name)
        tensor = response.outputs.add(name=name, datatype=datatype, shape=values.shape)
        if typed:
            elements = to_list(datatype, values)
            if datatype == "BYTES":
                elements = [text.encode() for text in elements]
            getattr(tensor.contents, _CONTENTS[datatype]).extend(elements)
        else:
            response.raw_output_contents.append(to_raw(datatype, values))
    return response


@lru_cache(maxsize=1000)
def _same_in_every_response(name: str, version: str, version_id: str, revision_id: str, labels: str) -> bytes:
    """Encoded once and then parsed, which is faster than setting each field."""
    response = oip.ModelInferResponse(model_name=name, model_version=version)
    response.parameters["model_version_id"].string_param = version_id
    response.parameters["revision_id"].string_param = revision_id
    if labels:
        response.parameters["labels"].string_param = labels
    return response.SerializeToString()


def to_metadata(spec: TensorSpec) -> oip.ModelMetadataResponse.TensorMetadata:
    return oip.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype.value, shape=spec.shape)
