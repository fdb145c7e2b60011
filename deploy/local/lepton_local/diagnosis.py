"""What `lepton doctor` says about this machine's platform: what runs, what is wrong, what to do."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from lepton_local.home import Home, find_home
from lepton_local.leftovers import find_marked
from lepton_local.state import PartStatus, find_runner, read_status

LOW_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """`hint`: what to do about it; empty where all is well."""

    subject: str
    ok: bool
    text: str
    hint: str = ""


def diagnose(environ: Mapping[str, str]) -> list[Finding]:
    home = find_home(environ)
    if home.id is None:
        return [Finding("platform", False, f"there is none in {home.folder}", "lepton up")]
    return [*_parts(home), _disk(home), _private(home)]


def _parts(home: Home) -> list[Finding]:
    runner = find_runner(home)
    left = find_marked(home.marker)
    if runner is None and not left:
        return [Finding("platform", False, f"nothing runs from {home.folder}", "lepton up")]
    if runner is None:
        names = ", ".join(sorted(left))
        return [Finding("platform", False, f"its runner was killed; left behind: {names}", "lepton down, or lepton up")]
    status = read_status(home)
    if status is None or not status.ready:
        return [Finding("platform", False, f"starting or stopping (process {runner.pid})", f"logs: {home.logs}")]
    return [Finding("platform", True, f"process {runner.pid}, home {home.folder}"), *map(_part, status.parts)]


def _part(part: PartStatus) -> Finding:
    ports = ", ".join(f"{name} {port}" for name, port in part.ports.items())
    where = f"process {part.pid}" + (f", {ports}" if ports else "")
    crashed = f"; restarted {part.restarts} times, the last time it {part.last_exit}" if part.restarts else ""
    if part.state != "ready" or part.pid is None or not psutil.pid_exists(part.pid):
        return Finding(part.name, False, f"{part.state}{crashed}", f"its log says why: {part.log}")
    return Finding(part.name, True, where + crashed)


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.folder).free
    text = f"{free / 1024**3:.1f} GiB free at {home.folder}"
    if free < LOW_DISK_BYTES:
        return Finding("disk", False, text, "make room: queue and database stop when the disk is full")
    return Finding("disk", True, text)


def _private(home: Home) -> Finding:
    shown = [path for path in (home.folder, home.keys) if path.stat().st_mode & 0o077]
    if shown:
        return Finding("keys", False, f"others can look into {shown[0]}", f"chmod 700 {shown[0]}")
    return Finding("keys", True, f"readable by their owner only: {home.keys}")
