"""A model that runs on the event loop without end: the process ends itself, and the model is not served for ever."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lepton_fixtures.processes import free_port
from lepton_inference.set_aside import SetAside
from lepton_inference.watchdog import EXIT_CODE
from services.inference.tests.fleet import until

ROOT = Path(__file__).parents[3]
END_SECONDS = 60


@dataclass
class Served:
    process: asyncio.subprocess.Process
    port: int
    key: str
    state: str

    async def infer(self, value: float) -> httpx.Response:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [value] * 4}
        headers = {"authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(timeout=END_SECONDS, headers=headers) as http:
            return await http.post(f"http://127.0.0.1:{self.port}/v2/models/double/infer", json={"inputs": [tensor]})

    async def ended(self) -> tuple[int, str]:
        _, errors = await asyncio.wait_for(self.process.communicate(), END_SECONDS)
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@contextlib.asynccontextmanager
async def served(folder: Path, *, stuck: float = 1.0, drain: float = 5.0) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inference.tests.watched_replica", str(folder), str(stuck), str(drain),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        lines = [(await asyncio.wait_for(process.stdout.readline(), END_SECONDS)).decode().strip() for _ in range(3)]
        yield Served(process, int(lines[0]), lines[1], lines[2])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.timeout(200)
async def test_a_stuck_loop_ends_the_process_and_the_second_time_the_revision_is_set_aside(tmp_path: Path) -> None:
    for words in ("was running on it", "is set aside now"):
        async with served(tmp_path) as replica:
            assert replica.state.startswith("serving")
            assert (await replica.infer(0)).status_code == 200
            with pytest.raises(httpx.TransportError):
                await replica.infer(1)
            code, log = await replica.ended()
        assert code == EXIT_CODE
        assert "the event loop has been blocked for 1 s" in log
        assert words in log
        # Where it was stuck.
        assert "runtimes/onnx.py" in log
    async with served(tmp_path) as replica:
        assert replica.state.startswith("not serving: it blocked the server 2 times")
        assert (await replica.infer(0)).status_code == 503
        replica.process.terminate()
        assert (await replica.ended())[0] == 0


@pytest.mark.timeout(200)
async def test_a_process_that_is_told_to_stop_while_its_loop_is_stuck_ends_after_the_time_for_draining(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, stuck=300.0, drain=1.0) as replica:
        asked = asyncio.create_task(replica.infer(1))
        await until(lambda: not answers(replica.port), "the loop to be stuck", 30)
        replica.process.send_signal(signal.SIGTERM)
        assert (await replica.ended())[0] == EXIT_CODE
        with pytest.raises(httpx.TransportError):
            await asked


def answers(port: int) -> bool:
    """Whether a request for a path that does not exist is answered soon."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
        probe.settimeout(0.5)
        probe.sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            return bool(probe.recv(1))
        except TimeoutError:
            return False


async def test_the_service_itself_ends_cleanly_when_it_is_told_to(tmp_path: Path) -> None:
    """Without its registry, which is what a start of a machine looks like."""
    (tmp_path / "token").write_text("token")
    port = free_port()
    settings = {
        "HTTP_LISTEN": f"127.0.0.1:{port}", "GRPC_LISTEN": f"127.0.0.1:{free_port()}",
        "CACHE_DIR": str(tmp_path / "cache"), "REGISTRY_ADDRESS": f"127.0.0.1:{free_port()}",
        "SERVICE_TOKEN_FILE": str(tmp_path / "token"),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lepton_inference.main", stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **{f"LEPTON_INFERENCE_{name}": value for name, value in settings.items()}},
    )  # fmt: skip
    try:
        await until(lambda: listens(port), "the service to listen", 60)
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), END_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 0, errors.decode()
    assert "draining" in errors.decode()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0 and answers(port)


def test_stops_of_the_loop_are_counted_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "set-aside.json"
    assert not SetAside(path).loop_stopped("rev_1")
    assert not SetAside(path).loop_stopped("rev_2")
    assert SetAside(path).loop_stopped("rev_1")
    assert "blocked the server 2 times" in SetAside(path).reason("rev_1")
    assert SetAside(path).reason("rev_2") == ""
