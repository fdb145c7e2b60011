"""Chooses the port of each component: the default, or a free one if that is in use. Choices are saved and reused."""

import json
import random
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from lepton_local.home import write_private

LOOPBACK = "127.0.0.1"
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - bound only where the user names a public host
DEFAULT_PORTS = {
    "gateway_http": 8700,
    "gateway_grpc": 8701,
    "inference_http": 8702,
    "inference_grpc": 8703,
    "registry": 8704,
    "queue": 8705,
    "objects": 8706,
}
# Tried if a default is in use, usually by a second platform: 8710 to 8716, 8720 to 8726, …
NEIGHBOURS = range(10, 100, 10)
# Below the port range of outgoing connections, one of which could use our port during a restart.
FREE_PORTS = range(20_000, 32_000)


def silent(line: str) -> None:
    """A free port, for callers to whom the number does not matter."""


def choose_ports(
    hosts: Mapping[str, str], remembered: Path, *, any_free: bool = False, say: Callable[[str], None] = silent
) -> dict[str, int]:
    """A port for each name that is free on its host. `say` is called for each one that is not the wanted one.

    `any_free`: uses any free ports instead of the defaults, so that several platforms can start at the same time.
    """
    before = _read(remembered)
    chosen: dict[str, int] = {}
    for name, host in hosts.items():
        wanted = before.get(name) or (None if any_free else DEFAULT_PORTS[name])
        taken = set(chosen.values())
        if wanted and wanted not in taken and is_free(wanted, host):
            chosen[name] = wanted
            continue
        near = () if any_free else (DEFAULT_PORTS[name] + step for step in NEIGHBOURS)
        free = (port for port in near if port not in taken and is_free(port, host))
        chosen[name] = next(free, 0) or _free_port(taken, host)
        if wanted:
            say(f"{name.replace('_', ' ')}: port {wanted} is in use; using {chosen[name]}")
    write_private(remembered, json.dumps(before | chosen, indent=2) + "\n")
    return chosen


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there; on all addresses only if no other server has the port on any of them."""
    with socket.socket() as probe:
        # As servers do: otherwise connections of the last run in TIME_WAIT would make the port look used.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    # On macOS that bind also succeeds if another server listens on all addresses.
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((LOOPBACK, port)) != 0


def _free_port(taken: set[int], host: str) -> int:
    for port in random.sample(FREE_PORTS, len(FREE_PORTS)):
        if port not in taken and is_free(port, host):
            return port
    raise OSError(f"no free port from {FREE_PORTS.start} to {FREE_PORTS.stop - 1}")


def _read(remembered: Path) -> dict[str, int]:
    try:
        ports = json.loads(remembered.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(ports, dict):
        return {}
    return {name: port for name, port in ports.items() if name in DEFAULT_PORTS and port in range(1, 65_536)}
