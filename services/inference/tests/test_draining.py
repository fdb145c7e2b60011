"""A replica that is told to stop answers what it has taken."""

import asyncio
import socket
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from lepton_core.grpc.client import open_channel
from lepton_inference.replica import MODEL_THREADS
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from services.inference.tests.fleet import Fleet, until
from services.inference.tests.packages import multiplier


async def test_requests_of_both_protocols_that_were_taken_are_answered(tmp_path: Path) -> None:
    """All model threads are held up, so that both requests are in hand when the drain begins."""
    running = AsyncExitStack()
    fleet = await Fleet(tmp_path, running).start(inline_milliseconds=0)
    await fleet.deploy(multiplier())
    held = threading.Event()
    for _ in range(MODEL_THREADS):
        fleet.replica.executor.submit(held.wait, 30)
    queue = fleet.replica.repository.find("prj_a", "double").queue
    # Callers of their own: those of the fleet are closed before its replica.
    url, headers = f"http://127.0.0.1:{fleet.replica.http.port}", {"authorization": f"Bearer {fleet.key}"}
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    request = oip.ModelInferRequest(model_name="double")
    one = request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    one.contents.fp32_contents.extend([1, 2, 3, 4])
    async with (
        httpx.AsyncClient(base_url=url, headers=headers) as http,
        open_channel(f"127.0.0.1:{fleet.replica.grpc_port}", fleet.key, acting=lambda: None) as channel,
    ):
        by_http = asyncio.create_task(http.post("/v2/models/double/infer", json={"inputs": [tensor]}))
        await until(lambda: queue.taken + queue.depth == 1, "the request over HTTP to be taken")
        by_rpc = asyncio.create_task(GRPCInferenceServiceStub(channel).ModelInfer(request))
        await until(lambda: queue.taken + queue.depth == 2, "the request over gRPC to be taken")
        draining = asyncio.create_task(running.aclose())
        await until(lambda: not is_listening(fleet.replica.grpc_port), "the drain to begin")
        assert not any(task.done() for task in (draining, by_http, by_rpc))
        held.set()
        assert (await by_http).status_code == 200
        assert (await by_rpc).model_name == "double"
        await draining


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
