"""`:predict`: what people have (an image file, rows of a table) in, and an answer in words out."""

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.identity import Principal, current_principal
from lepton_core.model_format.codecs import decode_instances, encode_outputs
from lepton_inference.dataplane import Dataplane
from lepton_inference.package import ServedModel

# A larger body is decoded in a thread: an image takes milliseconds, in which the event loop would stand still.
INLINE_BYTES = 4096
_JSON = ("application/json", "")
_BODIES = "an image file (content type image/png, image/jpeg, …) or application/json"
_ONE = {"image": "image", "row": "row"}
_MANY = {"images": "image", "rows": "row", "instances": ""}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": {"row": {"age": 41, "job": "nurse"}}},
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_KEYS = ", ".join((*_ONE, *_MANY))


def routes(dataplane: Dataplane) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["predictions"])

    @router.post("/deployments/{name}:predict", openapi_extra=_BODY)
    async def predict_(name: str, request: Request) -> Response:
        """An image file as the body, or JSON: `{"image": "<base64>"}`, `{"row": {…}}`, `{"rows": [{…}]}`."""
        kind = request.headers.get("content-type", "")
        answer = await predict(dataplane, current_principal(), name, kind, await request.body())
        return Response(orjson.dumps(answer), media_type="application/json")

    return router


async def predict(dataplane: Dataplane, caller: Principal, name: str, content_type: str, body: bytes) -> dict[str, Any]:
    """The answer to one instance, or `predictions` when several were sent."""
    served = dataplane.find(caller, name)
    kind = content_type.partition(";")[0].strip().lower()
    one = True
    if kind.startswith("image/") or kind == "application/octet-stream":
        _require(served, "image", kind)
        instances: list[Any] = [body]
    elif kind in _JSON:
        instances, one = _instances(served, body)
    else:
        raise LeptonError(ErrorCode.UNSUPPORTED_MEDIA, f"content type {kind[:100]!r} is not read here; send {_BODIES}")
    if len(body) > INLINE_BYTES:
        inputs = await asyncio.to_thread(decode_instances, served.signature, instances)
    else:
        inputs = decode_instances(served.signature, instances)
    answer = await dataplane.infer(caller, served, inputs)
    found = encode_outputs(served.signature, answer.outputs)
    if one:
        return _told(served, found[0], answer.prediction_id)
    # Each row can be traced by itself.
    return {"predictions": [_told(served, each, dataplane.ids.new(served.revision.id)) for each in found]}


def _told(served: ServedModel, found: dict[str, Any], id_: str) -> dict[str, Any]:
    revision = served.revision
    # Tensors have names of the model's choosing, which must not hide what is said about the answer.
    answer = {"outputs": found} if served.signature.output_kind == "tensor" else found
    return answer | {
        "deployment": revision.deployment,
        "model": revision.model,
        # A number as everywhere under /v1; the inference protocol alone makes it a text.
        "model_version": revision.version,
        "model_version_id": revision.version_id,
        "revision_id": revision.id,
        "prediction_id": id_,
    }


def _instances(served: ServedModel, body: bytes) -> tuple[list[Any], bool]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise LeptonError(ErrorCode.INVALID, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict) or len(document) != 1:
        keys = sorted(document)[:20] if isinstance(document, dict) else type(document).__name__
        raise invalid("body", "must be an object with one key", keys, _KEYS)
    ((key, value),) = document.items()
    kind = _ONE.get(key) or _MANY.get(key)
    if kind is None:
        raise invalid(key[:100], "unknown key", allowed=_KEYS)
    if kind:
        _require(served, kind, key)
    if key in _ONE:
        return [value], True
    if not isinstance(value, list) or not value:
        raise invalid(key, "must be a list of at least one", value if not value else type(value).__name__)
    return value, False


def _require(served: ServedModel, kind: str, given: str) -> None:
    if served.signature.input_kind != kind:
        takes = served.signature.input_kind
        keys = [key for key, of in (_ONE | _MANY).items() if of in (takes, "")]
        raise invalid(given, f"the model takes {takes!r}, not {kind!r}", allowed=", ".join(keys))
