"""What the document of the inference API says of the Open Inference Protocol, whose bodies are read without pydantic.

https://github.com/open-inference/open-inference-protocol
"""

from typing import Any

from pydantic import BaseModel, Field

from lepton_core.http.openapi import REQUEST_ID_PARAMETER, reference
from lepton_core.model_format.signature import Datatype

TAGS = [
    {"name": "Open Inference Protocol", "description": "Tensors in, tensors out; what a server and its models are."},
    {"name": "predictions", "description": "What people have in, an answer in words out."},
]
PARAMETERS = {
    "name": "Name of the deployment.",
    "version": "Number of the model version that the deployment serves.",
}
DESCRIPTION = """
Answers of the models that the project deploys, under the names of their deployments.

Every request but the health checks needs `Authorization: Bearer <API key>`; the key selects the project.
"""


OUTPUT_PARAMETERS = (
    "`binary_data`: as bytes after the JSON. `classification`: so many of the best classes instead of the tensor, "
    "as texts `value:index:label`, for the probabilities of a model with labels."
)


class RequestTensor(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int] = Field(description="With the batch first.")
    data: list[Any] | None = Field(None, description="The elements, flat or nested. Absent when they follow as bytes.")
    parameters: dict[str, Any] | None = Field(None, description="`binary_data_size`: bytes of it after the JSON.")


class RequestOutput(BaseModel):
    name: str
    parameters: dict[str, Any] | None = Field(None, description=OUTPUT_PARAMETERS)


class InferRequest(BaseModel):
    id: str | None = Field(None, description="Comes back in the answer.")
    inputs: list[RequestTensor]
    outputs: list[RequestOutput] | None = Field(None, description="Only these; all if absent.")
    parameters: dict[str, Any] | None = Field(None, description="`binary_data_output`, and `timeout` in microseconds.")


class ResponseTensor(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any] | None = Field(None, description="Flat. Absent when the elements follow as bytes.")
    parameters: dict[str, Any] | None = None


class InferResponse(BaseModel):
    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any] = Field(
        description="`prediction_id`, `model_version_id`, `revision_id`; `labels` of a classifier as JSON text."
    )
    outputs: list[ResponseTensor]


class Readiness(BaseModel):
    name: str
    ready: bool


BODY_SCHEMAS = {model.__name__: model.model_json_schema() for model in (InferRequest, InferResponse, Readiness)}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_EXAMPLE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1.0]}]}
INFER_BODY: dict[str, Any] = {
    "parameters": [REQUEST_ID_PARAMETER],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": reference("InferRequest"), "example": _EXAMPLE},
            "application/octet-stream": _BYTES,
        },
    },
}
INFER_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs. As bytes after the JSON when that was asked for.",
        "content": {"application/json": {"schema": reference("InferResponse")}, "application/octet-stream": _BYTES},
    }
}
READY_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "Ready.", "content": {"application/json": {"schema": reference("Readiness")}}},
    503: {"description": "Not ready.", "content": {"application/json": {"schema": reference("Readiness")}}},
}
