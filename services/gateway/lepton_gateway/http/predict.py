"""Predictions through the gateway: requests are forwarded unchanged to the inference service."""

from __future__ import annotations

import httpx
from fastapi import APIRouter, Request, Response

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.openapi import REQUEST_ID_PARAMETER
from lepton_core.ids import check_label
from lepton_core.model_format.kinds.bodies import answer_schema, request_body
from lepton_core.model_format.kinds.classes import CLASS

ANSWER = {
    **CLASS.example,
    "deployment": "digits",
    "model": "digits",
    "model_version": 1,
    "model_version_id": "mv_01J8ZC3V5Q0000000000000000",
    "revision_id": "rev_01J8ZC4B7M0000000000000000",
    "prediction_id": "pred_01J8ZC4B7M0000000000000000_01J8ZC5KXD0000000000000000",
}
# The headers that are forwarded. The inference service checks the caller's key again.
FORWARDED = (b"authorization", b"content-type", b"accept", b"x-request-id")
RETURNED = ("content-type", "retry-after", "www-authenticate", "x-request-id")


def routes(inference: httpx.AsyncClient) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["predictions"])

    @router.post(
        "/deployments/{name}:predict",
        summary="Predict",
        responses={
            200: {
                "description": "The answer to one instance, with the fields of the model's kind of output; to a list "
                "of instances: `predictions`, a list of such answers.",
                "content": {"application/json": {"schema": answer_schema(), "example": ANSWER}},
            }
        },
        openapi_extra={"requestBody": request_body(), "parameters": [REQUEST_ID_PARAMETER]},
    )
    async def predict(name: str, request: Request) -> Response:
        """An instance as JSON under the key of its kind, or a file of one as the body.
        A convenience: clients that predict often call the inference service directly."""
        check_label(name, "name")
        # As bytes, not decoded: the inference service checks the values of headers.
        headers = [(name, value) for name, value in request.headers.raw if name in FORWARDED]
        try:
            answer = await inference.post(
                f"/v1/deployments/{name}:predict", content=await request.body(), headers=headers
            )
        except httpx.TimeoutException:
            raise LeptonError(ErrorCode.TIMEOUT, "The inference service took too long.") from None
        except httpx.HTTPError:
            raise LeptonError(ErrorCode.UNAVAILABLE, "The inference service cannot be reached.") from None
        kept = {header: answer.headers[header] for header in RETURNED if header in answer.headers}
        return Response(answer.content, status_code=answer.status_code, headers=kept)

    return router
