"""`:predict`: predictions from an image file, rows of a table or a text, with labels and probabilities."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.openapi import REQUEST_ID_PARAMETER
from lepton_core.identity import Principal, current_principal
from lepton_core.model_format.kinds import decode_instances, encode_outputs
from lepton_core.model_format.kinds.bodies import (
    Question,
    answer_schema,
    question_of_file,
    question_of_json,
    request_body,
)
from lepton_inference.dataplane import Dataplane
from lepton_inference.package import ServedModel
from lepton_inference.tensors import Array

# Larger bodies are decoded in a thread: an image takes milliseconds, which would block the event loop.
INLINE_BYTES = 4096
# Number of threads; each has the pixels of one request in memory. Pillow releases the interpreter's lock.
DECODING_THREADS = 4
# Number of requests that may wait for a thread, with their bodies in memory.
MAX_WAITING = 64
_JSON = ("application/json", "")


def routes(dataplane: Dataplane) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["predictions"])
    decoding = DecodingPool()

    @router.post(
        "/deployments/{name}:predict",
        openapi_extra={"requestBody": request_body(), "parameters": [REQUEST_ID_PARAMETER]},
        responses={200: {"content": {"application/json": {"schema": answer_schema()}}}},
    )
    async def predict_(name: str, request: Request) -> Response:
        """The instances of a request: JSON with the key of their kind, or one file as the body."""
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await request.body()
        answer = await predict(dataplane, decoding, current_principal(), name, content_type, body)
        return Response(orjson.dumps(answer), media_type="application/json")

    return router


class DecodingPool:
    """Decodes bodies of requests: small ones at once, others in a few threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(DECODING_THREADS, "decoding")
        self._waiting = 0

    async def decode(self, served: ServedModel, content_type: str, body: bytes) -> tuple[Question, dict[str, Array]]:
        """Raises RATE_LIMITED if too many requests are waiting."""
        if len(body) <= INLINE_BYTES and content_type in _JSON:
            return _decoded(served, content_type, body)
        if self._waiting >= DECODING_THREADS + MAX_WAITING:
            detail = "too many requests wait to be decoded"
            raise LeptonError(ErrorCode.RATE_LIMITED, detail, retry_after_seconds=1)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, _decoded, served, content_type, body)
        finally:
            self._waiting -= 1


async def predict(
    dataplane: Dataplane, decoding: DecodingPool, caller: Principal, name: str, content_type: str, body: bytes
) -> dict[str, Any]:
    """The prediction for one instance, or `predictions` for several."""
    served = dataplane.find(caller, name)
    question, inputs = await decoding.decode(served, content_type, body)
    answer = await dataplane.infer(caller, served, inputs)
    found = encode_outputs(served.signature, answer.outputs)
    if question.one:
        return _described(served, found[0], answer.prediction_id)
    # Each row has its own id for the lineage.
    return {"predictions": [_described(served, each, dataplane.ids.new(served.revision.id)) for each in found]}


def _decoded(served: ServedModel, content_type: str, body: bytes) -> tuple[Question, dict[str, Array]]:
    if content_type in _JSON:
        question = question_of_json(served.signature, _document(body))
    else:
        question = question_of_file(served.signature, content_type, body)
    return question, decode_instances(served.signature, question.instances, question.kind)


def _document(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise LeptonError(ErrorCode.INVALID, f"the body is not JSON: {error}") from None


def _described(served: ServedModel, answer: dict[str, Any], id_: str) -> dict[str, Any]:
    """The answer with the fields of `ABOUT`, which identify the prediction."""
    revision = served.revision
    return answer | {
        "deployment": revision.deployment,
        "model": revision.model,
        # A number, as everywhere under /v1; only the inference protocol has it as text.
        "model_version": revision.version,
        "model_version_id": revision.version_id,
        "revision_id": revision.id,
        "prediction_id": id_,
    }
