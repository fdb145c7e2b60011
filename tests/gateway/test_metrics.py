"""`/metrics` of gateway and registry, scraped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from lepton_fixtures.processes import free_port
from lepton_fixtures.servers import S3Bucket
from services.registry.tests.conftest import Server, make_settings
from tests.gateway.conftest import Door


async def test_the_gateway_shows_its_metrics_to_operators_alone(door: Door) -> None:
    assert (await door.submit()).status_code == 202
    viewer = await door.http.post("/v1/keys", json={"name": "v", "role": "viewer"})
    seen = await door.http.get("/metrics")
    assert seen.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'lepton_requests_total{method="POST /v1/jobs",outcome="202"} 1.0' in seen.text
    assert 'lepton_request_seconds_count{method="POST /v1/jobs"} 1.0' in seen.text
    for token, status in ((viewer.json()["secret"], 403), ("", 401)):
        answer = await door.http.get("/metrics", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == status


async def test_the_registry_shows_runs_leases_and_events_on_loopback(
    tmp_path: Path, sqlite_url: str, s3: S3Bucket
) -> None:
    port = free_port()
    server = Server(*make_settings(tmp_path, sqlite_url, s3, metrics_listen=f"127.0.0.1:{port}"))
    await server.start()
    try:
        await server.gateway()
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await asyncio.wait_for(http.get(f"http://127.0.0.1:{port}/metrics"), 20)).text
    finally:
        await server.stop()
    lines = text.splitlines()
    assert 'lepton_runs{state="queued"} 0.0' in lines
    assert "lepton_leases 0.0" in lines
    assert any(line.startswith("lepton_outbox_lag_seconds ") for line in lines)
    assert 'lepton_requests_total{method="/lepton.v1.KeyService/VerifyKey",outcome="ok"} 1.0' in lines
