"""The checks of `lepton doctor` for the platform on this machine."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_local.home import Home, find_home
from lepton_local.leftovers import find_marked
from lepton_local.state import ComponentStatus, find_runner, read_status

LOW_DISK_BYTES = 2 * 1024**3
# Refused logins that are older are not reported.
RECENT_SECONDS = 3600
ANSWER_SECONDS = 2.0
FULL_SHARE = 0.9


@dataclass(frozen=True)
class Finding:
    """`hint`: what to do about it; empty if `ok`."""

    subject: str
    ok: bool
    text: str
    hint: str = ""


def diagnose(environ: Mapping[str, str]) -> list[Finding]:
    home = find_home(environ)
    if home.id is None:
        return [Finding("platform", False, f"there is no platform in {home.folder}", "lepton up")]
    return [*_components(home), *_queue(home), _disk(home), _private(home)]


def _components(home: Home) -> list[Finding]:
    runner = find_runner(home)
    left = find_marked(home.marker)
    if runner is None and not left:
        return [Finding("platform", False, f"no platform runs from {home.folder}", "lepton up")]
    if runner is None:
        names = ", ".join(sorted(left))
        return [
            Finding("platform", False, f"its runner was killed; still running: {names}", "lepton down, or lepton up")
        ]
    status = read_status(home)
    if status is None or not status.ready:
        return [Finding("platform", False, f"starting or stopping (process {runner.pid})", f"logs: {home.logs}")]
    return [Finding("platform", True, f"process {runner.pid}, home {home.folder}"), *map(_component, status.components)]


def _component(component: ComponentStatus) -> Finding:
    ports = ", ".join(f"{name} {port}" for name, port in component.ports.items())
    where = f"process {component.pid}" + (f", {ports}" if ports else "")
    crashed = (
        f"; restarted {component.restarts} times, the last time it {component.last_exit}" if component.restarts else ""
    )
    if component.state != "ready" or component.pid is None or not psutil.pid_exists(component.pid):
        return Finding(component.name, False, f"{component.state}{crashed}", f"see its log: {component.log}")
    return Finding(component.name, True, where + crashed)


def _queue(home: Home) -> list[Finding]:
    """Checks the bundled queue server, if it runs: refused logins and memory."""
    status = read_status(home)
    port = (
        next((component.ports.get("redis") for component in status.components if component.name == "queue"), None)
        if status
        else None
    )
    password = home.keys / "queue-operator.password"
    if port is None or not password.exists():
        return []
    client = redis.Redis(
        port=port,
        username="operator",
        password=password.read_text().strip(),
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    with client:
        try:
            return [*queue_logins(client), *queue_memory(client)]
        except redis.RedisError:
            # A server that does not answer is already reported as a component.
            return []


def queue_logins(client: redis.Redis) -> list[Finding]:
    """Logins that the server refused within the last hour."""
    entries: Any = client.acl_log()
    recent = [entry for entry in entries if entry["reason"] == "auth" and float(entry["age-seconds"]) < RECENT_SECONDS]
    if not recent:
        return []
    count = sum(int(entry["count"]) for entry in recent)
    users = ", ".join(sorted({repr(str(entry["username"])) for entry in recent}))
    text = f"{count} logins were refused within the last hour, as {users}"
    return [Finding("queue logins", False, text, "check the client's user and password: docs/queue-producers.md")]


def queue_memory(client: redis.Redis) -> list[Finding]:
    memory: Any = client.info("memory")
    used, bound = int(memory["used_memory"]), int(memory["maxmemory"])
    if bound and used > FULL_SHARE * bound:
        text = f"{used / 1024**2:.0f} of {bound / 1024**2:.0f} MiB are in use; when it is full, messages are refused"
        return [Finding("queue memory", False, text, "check why messages wait, or set LEPTON_LOCAL_QUEUE_MAX_BYTES")]
    return []


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.folder).free
    text = f"{free / 1024**3:.1f} GiB free at {home.folder}"
    if free < LOW_DISK_BYTES:
        return Finding("disk", False, text, "free some space: queue and database stop when the disk is full")
    return Finding("disk", True, text)


def _private(home: Home) -> Finding:
    shown = [path for path in (home.folder, home.keys) if path.stat().st_mode & 0o077]
    if shown:
        return Finding("keys", False, f"other users can read {shown[0]}", f"chmod 700 {shown[0]}")
    return Finding("keys", True, f"readable only by their owner: {home.keys}")
