"""The Open Inference Protocol: health and metadata of server and models. Inference is in `infer.py`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from lepton_core.identity import current_principal
from lepton_core.model_format.signature import TensorSpec
from lepton_core.validation import parse
from lepton_inference.dataplane import Dataplane
from lepton_inference.http.openapi import INFER_ANSWER, INFER_BODY, READY_ANSWER
from lepton_inference.server_metadata import EXTENSIONS, NAME, VERSION


class _IndexBody(BaseModel):
    """https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md"""

    model_config = ConfigDict(extra="forbid", strict=True)

    ready: bool | None = None


def routes(dataplane: Dataplane) -> APIRouter:
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    _add_server(router, dataplane)
    for prefix in ("/models/{name}", "/models/{name}/versions/{version}"):
        _add_model(router, prefix, dataplane)
    return router


def _add_server(router: APIRouter, dataplane: Dataplane) -> None:
    @router.get("")
    async def server_metadata() -> dict[str, Any]:
        return {"name": NAME, "version": VERSION, "extensions": EXTENSIONS}

    @router.get("/health/live")
    async def server_live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready", responses=READY_ANSWER)
    async def server_ready() -> JSONResponse:
        return _ready("ready", dataplane.repository.ready())

    @router.post("/repository/index")
    async def repository_index(request: Request) -> list[dict[str, str]]:
        """The project's deployments; with `{"ready": true}`, only those that serve a model."""
        body = await request.body()
        wanted = parse(_IndexBody, body) if body else _IndexBody()
        return dataplane.index(current_principal(), ready_only=bool(wanted.ready))


def _add_model(router: APIRouter, prefix: str, dataplane: Dataplane) -> None:
    versioned = "_version" if "{version}" in prefix else ""

    router.post(f"{prefix}/infer", name=f"model{versioned}_infer", openapi_extra=INFER_BODY, responses=INFER_ANSWER)(
        model_version_infer if versioned else model_infer
    )

    @router.get(prefix, name=f"model{versioned}_metadata")
    async def model_metadata(name: str, version: str = "") -> dict[str, Any]:
        served = dataplane.find(current_principal(), name, version)
        return {
            "name": name,
            "versions": [served.version],
            "platform": served.platform,
            "inputs": [_tensor(spec) for spec in served.signature.inputs],
            "outputs": [_tensor(spec) for spec in served.signature.outputs],
        } | ({"properties": {"labels": served.labels}} if served.labels else {})

    @router.get(f"{prefix}/ready", name=f"model{versioned}_ready", responses=READY_ANSWER)
    async def model_ready(name: str, version: str = "") -> JSONResponse:
        return _ready(name, dataplane.is_ready(current_principal(), name, version))


async def model_infer(name: str) -> Response:  # noqa: ARG001 - for OpenAPI
    """Inference with tensors as JSON, or as bytes after the JSON (`Inference-Header-Content-Length`)."""
    raise AssertionError("the middleware before the app answers this route")


async def model_version_infer(name: str, version: str) -> Response:  # noqa: ARG001 - for OpenAPI
    """The same for a version; NOT_FOUND if the deployment serves another version."""
    raise AssertionError("the middleware before the app answers this route")


def _ready(name: str, is_ready: bool) -> JSONResponse:
    return JSONResponse({"name": name, "ready": is_ready}, 200 if is_ready else 503)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": list(spec.shape)}
