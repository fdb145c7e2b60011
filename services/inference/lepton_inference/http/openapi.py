"""Schemas of the Open Inference Protocol for the OpenAPI document: its bodies are read without pydantic models.

https://github.com/open-inference/open-inference-protocol
"""

from typing import Any

from pydantic import BaseModel, Field

from lepton_core.http.openapi import REQUEST_ID_PARAMETER, reference
from lepton_core.model_format.signature import Datatype

TAGS = [
    {"name": "Open Inference Protocol", "description": "Inference with tensors, and metadata of server and models."},
    {"name": "predictions", "description": "Predictions from images, rows or texts."},
]
PARAMETERS = {
    "name": "Name of the deployment.",
    "version": "Number of the model version that the deployment serves.",
}
DESCRIPTION = """
Predictions of the project's deployments. A model's name in a path is the name of a deployment.

All requests except health checks need `Authorization: Bearer <API key>`; the key selects the project.
"""


OUTPUT_PARAMETERS = (
    "`binary_data`: send the output as bytes after the JSON. `classification`: send this number of best classes, as "
    "texts `value:index:label`, instead of the tensor; only for the probabilities of a model with labels."
)


class RequestTensor(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int] = Field(description="The batch dimension comes first.")
    data: list[Any] | None = Field(None, description="The elements, flat or nested. Absent if they follow as bytes.")
    parameters: dict[str, Any] | None = Field(None, description="`binary_data_size`: size of its bytes after the JSON.")


class RequestOutput(BaseModel):
    name: str
    parameters: dict[str, Any] | None = Field(None, description=OUTPUT_PARAMETERS)


class InferRequest(BaseModel):
    id: str | None = Field(None, description="Returned in the answer.")
    inputs: list[RequestTensor]
    outputs: list[RequestOutput] | None = Field(None, description="The requested outputs; all if absent.")
    parameters: dict[str, Any] | None = Field(None, description="`binary_data_output`, and `timeout` in microseconds.")


class ResponseTensor(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any] | None = Field(None, description="The elements, flat. Absent if they follow as bytes.")
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
        "description": "The outputs; as bytes after the JSON if the request says so.",
        "content": {"application/json": {"schema": reference("InferResponse")}, "application/octet-stream": _BYTES},
    }
}
READY_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "Ready.", "content": {"application/json": {"schema": reference("Readiness")}}},
    503: {"description": "Not ready.", "content": {"application/json": {"schema": reference("Readiness")}}},
}
