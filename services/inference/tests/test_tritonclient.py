"""A client that is not ours: NVIDIA's, over HTTP with JSON, HTTP with binary tensors, and gRPC."""

import asyncio
import sys
from pathlib import Path

from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import classifier, multiplier, regressor


async def test_tritonclient_works(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    await fleet.deploy(regressor(), "price")
    await fleet.deploy(classifier(), "light")
    addresses = [f"127.0.0.1:{port}" for port in (fleet.replica.http.port, fleet.replica.grpc_port)]
    script = str(Path(__file__).with_name("triton_calls.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, *addresses, fleet.key, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert output.decode().splitlines()[-1:] == ["ok"], output.decode()
