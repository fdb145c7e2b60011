"""A platform that other machines may reach: 127.0.0.2 stands for the address at which they do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lepton import Client
from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.platform import RunningPlatform

HOST = "127.0.0.2"
# More than travels inline: its bytes go to the store by URLs that are signed for the host.
LARGE = b"x" * (1 << 20)


def reachable(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def test_clients_elsewhere_reach_the_doors_and_the_store_and_nothing_else(
    start_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    running = start_platform({"LEPTON_LOCAL_PUBLIC_HOST": HOST})
    assert urlsplit(running.url("gateway")).hostname == HOST
    with Client(running.url("gateway"), running.api_key) as client:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "large.bin").write_bytes(LARGE)
        client.datasets.push("large", tmp_path / "data", progress=False)
        client.datasets.pull("large", tmp_path / "back", progress=False)
        assert (tmp_path / "back" / "large.bin").read_bytes() == LARGE

        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "train.py").write_text("print('hello')")
        job = {"name": "mine", "script": {"entry": "train.py", "folder": str(tmp_path / "code")}}
        with pytest.raises(LeptonError, match="beyond loopback") as refused:
            client.jobs.submit(job, progress=False)
        assert refused.value.code is ErrorCode.FAILED_PRECONDITION
    for part in running.status()["parts"]:
        inside = part["name"] in ("registry", "queue")
        for port in part["ports"].values():
            assert reachable("127.0.0.1", port), part["name"]
            assert reachable(HOST, port) is not inside, part["name"]
    # The commands of this machine find it as ever.
    assert "gateway" in running.cli("doctor", check=False).stdout


def test_a_host_that_is_none_is_refused(start_platform: Callable[..., RunningPlatform]) -> None:
    with pytest.raises(AssertionError, match="LEPTON_LOCAL_PUBLIC_HOST: must be a host name"):
        start_platform({"LEPTON_LOCAL_PUBLIC_HOST": "http://example.org:80"})
