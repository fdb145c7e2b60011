"""Fixtures: a whole platform of real processes; `platform` is shared by all tests, `start_platform` is for one test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

from lepton_fixtures.processes import dying_with_parent, wait_until

if TYPE_CHECKING:
    from lepton import Client

START_SECONDS = 60
STOP_SECONDS = 60


class RunningPlatform:
    """`lepton up` in a home of its own on free ports: its parts can be asked for, killed and waited for."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
        self.environ |= {"LEPTON_HOME": str(home), "LEPTON_LOCAL_FREE_PORTS": "true", **(settings or {})}
        self.runner: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []
        self._log = home.with_name(f"{home.name}.log")
        self.start()

    def start(self) -> None:
        assert self.runner is None, "already running"
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "lepton_local"]
            self.runner = subprocess.Popen(
                dying_with_parent(command, signal.SIGTERM),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(self._is_up, START_SECONDS, "the platform to be up")
        except BaseException:
            self.stop()
            raise

    def _is_up(self) -> bool:
        assert self.runner is not None
        assert self.runner.poll() is None, f"the platform did not start:\n{self._log.read_text()[-6000:]}"
        status = self.status()
        return bool(status.get("ready")) and status["pid"] == self.runner.pid

    def stop(self) -> None:
        """SIGTERM: the runner drains all parts."""
        while self._clients:
            self._clients.pop().close()
        if self.runner is None:
            return
        self.runner.terminate()
        try:
            self.runner.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.runner.send_signal(signal.SIGTERM)  # a second one drops the parts' deadlines
            self.runner.wait(10)
        self.runner = None

    def kill_runner(self) -> None:
        """SIGKILL: its parts stay behind until the next `start`."""
        assert self.runner is not None
        self.runner.kill()
        self.runner.wait()
        self.runner = None

    def status(self) -> dict[str, Any]:
        """`platform.json`; empty before there is one."""
        try:
            return cast("dict[str, Any]", json.loads((self.home / "platform.json").read_text()))
        except FileNotFoundError:
            return {}

    def part(self, name: str) -> dict[str, Any]:
        return next(part for part in self.status()["parts"] if part["name"] == name)

    def url(self, name: str) -> str:
        """Of `gateway`, `gateway_grpc`, `inference`, `inference_grpc`, `registry_grpc`, `queue`, `objects`."""
        return cast("str", self.status()["urls"][name])

    def queue_url(self, user: str) -> str:
        """Of one of the queue's users: operator, services, workers, producers."""
        password = (self.home / "keys" / f"queue-{user}.password").read_text().strip()
        return self.url("queue").replace("redis://", f"redis://{user}:{password}@")

    def log(self, part: str) -> str:
        return (self.home / "logs" / f"{part}.log").read_text(errors="replace")

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Signal a part; how often it had been restarted before, for `wait_back`."""
        part = self.part(name)
        psutil.Process(part["pid"]).send_signal(number)
        return cast("int", part["restarts"])

    def wait_back(self, name: str, restarts_before: int, seconds: float = 30) -> None:
        def is_back() -> bool:
            part = self.part(name)
            return part["restarts"] > restarts_before and part["state"] == "ready"

        wait_until(is_back, seconds, f"{name} to be restarted")

    @property
    def api_key(self) -> str:
        return (self.home / "keys" / "operator.key").read_text().strip()

    def client(self) -> Client:
        """With the operator's key; closed when the platform stops."""
        from lepton import Client

        self._clients.append(Client(self.url("gateway"), self.api_key))
        return self._clients[-1]

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The `lepton` command against this platform."""
        command = [str(Path(sys.executable).with_name("lepton")), *arguments]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """One platform for all tests that do not break it."""
    running = RunningPlatform(tmp_path_factory.mktemp("platform") / "home")
    yield running
    running.stop()


@pytest.fixture
def start_platform(tmp_path: Path) -> Iterator[Callable[..., RunningPlatform]]:
    """Call it with settings (`{"LEPTON_REGISTRY_LEASE_SECONDS": "5"}`) for a platform that the test may break."""
    platforms: list[RunningPlatform] = []

    def start(settings: Mapping[str, str] | None = None) -> RunningPlatform:
        platforms.append(RunningPlatform(tmp_path / f"home-{len(platforms)}", settings))
        return platforms[-1]

    yield start
    for running in platforms:
        running.stop()
