"""A service's HTTP application whose routes can be looked at; nothing stands behind it, and none is called."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import httpx
from fastapi import FastAPI

from lepton_core.grpc.client import open_channel
from lepton_core.identity import TokenAuthenticator
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.http.app import build_http_app
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter
from lepton_inference.dataplane import Dataplane
from lepton_inference.http.app import build_http_app as build_inference_app


async def gateway_app() -> FastAPI:
    registry = Registry(open_channel("127.0.0.1:1"))
    submitter = Submitter(registry, Catalogue(registry), beyond_loopback=False)
    nobody = httpx.AsyncClient()
    limits = {"max_body_bytes": 1024, "max_archive_bytes": 1024}
    return build_http_app(registry, submitter, TokenAuthenticator(), nobody, nobody, **limits)


def inference_app() -> FastAPI:
    """The data plane is only called by handlers."""
    dataplane = cast(Dataplane, SimpleNamespace(repository=SimpleNamespace(ready=bool)))
    return build_inference_app(dataplane, TokenAuthenticator(), max_body_bytes=1024)
