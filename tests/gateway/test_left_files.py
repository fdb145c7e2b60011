"""The files that a script left, from its attempt to the folder of a user, by the SDK and the command."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from lepton import Client
from lepton.cli.app import run_command
from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.registry_calls import claim, put_files, register_worker
from lepton_proto.v1 import attempts_pb2, attempts_pb2_grpc, runs_pb2
from tests.gateway.conftest import Door

LEFT = {"code/model.pt": b"eight hours of training", "code/out/loss.csv": b"1,0.5\n"}


@asynccontextmanager
async def listening(door: Door) -> AsyncIterator[str]:
    """The door's URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(door.app, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def failed_run(door: Door, files: dict[str, bytes]) -> str:
    """A run whose only attempt failed and left these files."""
    run_id: str = (await door.submit()).json()["id"]
    assignment = await claim(door.as_worker, await register_worker(door.as_worker))
    channel = await door.server.channel(assignment.attempt_token)
    entries = (await put_files(channel, files))[1] if files else []
    request = attempts_pb2.FinishRequest(
        attempt_id=assignment.attempt_id, outcome=runs_pb2.ATTEMPT_STATE_FAILED, final=True, files=entries
    )
    await attempts_pb2_grpc.AttemptServiceStub(channel).Finish(request)
    return run_id


async def test_the_sdk_lists_and_fetches_them(door: Door, tmp_path: Path) -> None:
    run_id = await failed_run(door, LEFT)

    def fetch(url: str) -> None:
        with Client(url, door.server.tokens["operator"]) as client:
            run = client.runs.get(run_id)
            assert [file.path for file in run.files()] == sorted(LEFT)
            assert [file.path for file in run.fetch_files(tmp_path / "mine", progress=False)] == sorted(LEFT)
            with pytest.raises(LeptonError) as raised:
                run.fetch_files(tmp_path / "other", attempt=2)
            assert raised.value.code is ErrorCode.NOT_FOUND

    async with listening(door) as url:
        await asyncio.to_thread(fetch, url)
    assert {path: (tmp_path / "mine" / path).read_bytes() for path in LEFT} == LEFT
    assert not (tmp_path / "other").exists()


async def test_the_command_lists_and_fetches_them(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = await failed_run(door, LEFT)
    monkeypatch.setenv("LEPTON_API_KEY", door.server.tokens["operator"])
    command = ["run", "files", run_id, "--json"]
    async with listening(door) as url:
        monkeypatch.setenv("LEPTON_URL", url)
        assert await asyncio.to_thread(run_command, command) == 0
        listed = json.loads(capsys.readouterr().out)
        assert {each["path"]: each["bytes"] for each in listed} == {path: len(data) for path, data in LEFT.items()}
        assert await asyncio.to_thread(run_command, [*command[:-1], "--to", str(tmp_path / "mine"), "--quiet"]) == 0
    assert "2 files in" in capsys.readouterr().out
    assert {path: (tmp_path / "mine" / path).read_bytes() for path in LEFT} == LEFT


async def test_a_run_that_left_nothing_says_so(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = await failed_run(door, {})
    monkeypatch.setenv("LEPTON_API_KEY", door.server.tokens["operator"])
    async with listening(door) as url:
        monkeypatch.setenv("LEPTON_URL", url)
        assert await asyncio.to_thread(run_command, ["run", "files", run_id]) == 0
        assert "No files are kept" in capsys.readouterr().out
        assert await asyncio.to_thread(run_command, ["run", "files", run_id, "--to", str(tmp_path)]) != 0
        assert f"no files of run {run_id} are kept" in capsys.readouterr().err
