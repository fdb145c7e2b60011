"""The HTTP side: the Open Inference Protocol under /v2, and `:predict`."""

from fastapi import FastAPI
from starlette.middleware import Middleware

from lepton_core.http.app import build_app
from lepton_core.identity import Authenticator
from lepton_core.metrics import Metrics
from lepton_inference.dataplane import Dataplane
from lepton_inference.http import not_offered, v2
from lepton_inference.http.errors import OipErrors
from lepton_inference.http.openapi import BODY_SCHEMAS, DESCRIPTION, PARAMETERS, TAGS
from lepton_inference.http.predict import routes as predict_routes
from lepton_inference.server_metadata import VERSION

# The bodies that a model is asked with; `infer` has a layer of its own. All others take at most MAX_REQUEST_BYTES.
LARGE_BODIES = frozenset({"POST /v1/deployments/{name}:predict"})


def build_http_app(
    dataplane: Dataplane, authenticator: Authenticator, *, max_body_bytes: int, metrics: Metrics | None = None
) -> FastAPI:
    app = build_app(
        "Lepton inference",
        authenticator,
        max_body_bytes=max_body_bytes,
        large_bodies=LARGE_BODIES,
        version=VERSION,
        description=DESCRIPTION,
        ready=dataplane.repository.ready,
        metrics=metrics,
    )
    app.openapi_tags = TAGS
    app.parameter_texts = PARAMETERS
    app.body_schemas = BODY_SCHEMAS
    # Before the others: `/v2/models/stats` would match the route of a deployment.
    app.include_router(not_offered.routes())
    app.include_router(v2.routes(dataplane))
    app.include_router(predict_routes(dataplane))
    # The outermost layer, so that it also changes errors of the guard.
    app.user_middleware.insert(0, Middleware(OipErrors))
    return app
