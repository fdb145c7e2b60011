"""`/metrics` of a replica, scraped."""

from collections.abc import Callable
from typing import Any

import httpx

from lepton_fixtures.processes import free_port
from services.inference.tests.packages import multiplier

TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


async def test_requests_batches_and_queues_are_shown(start_fleet: Callable[..., Any]) -> None:
    port = free_port()
    fleet = await start_fleet(metrics_listen=f"127.0.0.1:{port}")
    await fleet.deploy(multiplier())
    for _ in range(3):
        answer = await fleet.http.post("/v2/models/double/infer", json={"inputs": [TENSOR]})
        assert answer.status_code == 200
    async with httpx.AsyncClient(trust_env=False) as http:
        lines = (await http.get(f"http://127.0.0.1:{port}/metrics")).text.splitlines()
    of = 'project="prj_a",deployment="double"'
    swapped = 'deployment="double",project="prj_a"'
    shown = {line.replace(swapped, of) for line in lines}
    assert f"lepton_inference_batched_requests_total{{{of}}} 3.0" in shown
    assert f"lepton_inference_queue_depth{{{of}}} 0.0" in shown
    assert 'lepton_requests_total{method="POST /v2/models/{name}/infer",outcome="200"} 3.0' in shown
    # A key that is no operator's does not see them at the public door.
    assert (await fleet.http.get("/metrics")).status_code == 403
