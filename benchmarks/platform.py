"""A platform of its own for a benchmark, stopped with the block."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lepton import Client
from lepton.transport.login import Login, find_login
from lepton_local.detached import start_detached
from lepton_local.home import Home
from lepton_local.platform import down
from lepton_local.settings import SETTINGS_PREFIX


@dataclass(frozen=True, slots=True)
class BenchPlatform:
    home: Path
    login: Login

    def client(self) -> Client:
        return Client(self.login.url, self.login.api_key)


@contextmanager
def running_platform(settings: Mapping[str, str] | None = None) -> Iterator[BenchPlatform]:
    with tempfile.TemporaryDirectory(prefix="lepton-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("LEPTON_")}
        environ |= {"LEPTON_HOME": name, f"{SETTINGS_PREFIX}_FREE_PORTS": "true", **(settings or {})}
        home = Home(folder)
        start_detached(home, environ)
        try:
            yield BenchPlatform(folder, find_login(environ={"LEPTON_HOME": name}))
        finally:
            down(home, _unsaid)


def _unsaid(line: str) -> None:
    """A benchmark's output is its figures."""
