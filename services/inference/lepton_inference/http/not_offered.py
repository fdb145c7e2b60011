"""Extensions of Triton that this server does not offer: their paths answer with an explanation.

Without the first one, `/v2/models/stats` would be a deployment of that name, which the registry therefore reserves.
"""

from fastapi import APIRouter

from lepton_core.errors import ErrorCode, LeptonError

_STATISTICS = "model statistics are not offered; see the /metrics of this service"
_CONFIGURATION = "model configuration is not offered; GET /v2/models/{name} has the inputs, outputs and labels"
_CONTROL = "loading and unloading of models is not offered; create, update or delete a deployment at the gateway"
_STREAMING = "streaming and generation are not offered; use POST /v2/models/{name}/infer"

# (method, path under /v2, answer)
NOT_OFFERED = (
    ("GET", "/models/stats", _STATISTICS),
    ("GET", "/models/{name}/stats", _STATISTICS),
    ("GET", "/models/{name}/versions/{version}/stats", _STATISTICS),
    ("GET", "/models/{name}/config", _CONFIGURATION),
    ("GET", "/models/{name}/versions/{version}/config", _CONFIGURATION),
    ("POST", "/repository/models/{name}/load", _CONTROL),
    ("POST", "/repository/models/{name}/unload", _CONTROL),
    ("POST", "/models/{name}/generate", _STREAMING),
    ("POST", "/models/{name}/generate_stream", _STREAMING),
    ("POST", "/models/{name}/versions/{version}/generate", _STREAMING),
    ("POST", "/models/{name}/versions/{version}/generate_stream", _STREAMING),
)


def routes() -> APIRouter:
    router = APIRouter(prefix="/v2", include_in_schema=False)
    for method, path, text in NOT_OFFERED:
        _add(router, method, path, text)
    return router


def _add(router: APIRouter, method: str, path: str, text: str) -> None:
    @router.api_route(path, methods=[method])
    async def refuse() -> None:
        raise LeptonError(ErrorCode.UNIMPLEMENTED, text)
