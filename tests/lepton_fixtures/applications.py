"""A service's HTTP application whose routes can be looked at; nothing stands behind it, and none is called."""

from __future__ import annotations

import httpx
from fastapi import FastAPI

from lepton_core.grpc.client import open_channel
from lepton_core.identity import TokenAuthenticator
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.http.app import build_http_app
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter


async def gateway_app() -> FastAPI:
    registry = Registry(open_channel("127.0.0.1:1"))
    submitter = Submitter(registry, Catalogue(registry), beyond_loopback=False)
    nobody = httpx.AsyncClient()
    limits = {"max_body_bytes": 1024, "max_archive_bytes": 1024}
    return build_http_app(registry, submitter, TokenAuthenticator(), nobody, nobody, **limits)
