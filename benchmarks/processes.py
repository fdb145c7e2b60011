"""Servers under measurement: each a process of its own, ended with the block."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def python_server(*arguments: str, port: int | None = None) -> Iterator[str]:
    """Runs `python ARGUMENTS`; ready when it accepts connections at `port`, or prints a line, which is given."""
    root = Path(__file__).parent.parent
    process = subprocess.Popen([sys.executable, *arguments], cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        if port is None:
            assert process.stdout
            yield process.stdout.readline().strip()
        else:
            _wait(process, port)
            yield ""
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _wait(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"a server ended with {process.returncode} before it served")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("a server did not start in time")
