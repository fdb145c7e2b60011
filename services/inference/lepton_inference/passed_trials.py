"""The packages that passed their trial (`trial.py`), so that a restart need not try them again.

An entry holds for the same files with the same limits, packages and machine. A load takes its entry out and puts it
back when it has succeeded: a load that crashes or hangs leaves none, and the next start tries the package in a child.
"""

import os
import platform
import stat
import sys
import threading
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from lepton_core.ids import digest_of
from lepton_core.validation import canonical_json
from lepton_inference.state_file import read_entries, write_entries
from lepton_inference.warm_up import Plan


class PassedTrials:
    """Safe for threads. `limits`: those of trial and warm-up, as plain values."""

    def __init__(self, path: Path, limits: Mapping[str, Any]) -> None:
        self._path = path
        self._limits = dict(limits)
        self._lock = threading.Lock()
        self._entries = read_entries(path) if _is_only_ours(path) else {}

    def take(self, digests: Mapping[str, str]) -> Plan | None:
        """The plan for the files (path → digest), if they have passed. The entry is gone until `add`."""
        key = self._key(digests)
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None:
                return None
            write_entries(self._path, self._entries)
        return _plan(key, entry)

    def add(self, digests: Mapping[str, str], plan: Plan) -> None:
        """Remembers files that have passed their trial and have been loaded."""
        key = self._key(digests)
        with self._lock:
            self._entries[key] = _entry(key, plan)
            write_entries(self._path, self._entries)

    def _key(self, digests: Mapping[str, str]) -> str:
        return digest_of(canonical_json({**_environment(), "limits": self._limits, "files": dict(digests)}).encode())


def _entry(key: str, plan: Plan) -> dict[str, Any]:
    check = digest_of(f"{key} {plan.threads} {plan.inline_bytes}".encode())
    return {"threads": plan.threads, "inline_bytes": plan.inline_bytes, "check": check}


def _plan(key: str, entry: Any) -> Plan | None:
    """None for an entry that is not what was written."""
    if not isinstance(entry, dict):
        return None
    plan = Plan(entry.get("threads", 0), entry.get("inline_bytes", 0))
    return plan if entry == _entry(key, plan) else None


@cache
def _environment() -> dict[str, Any]:
    """What a load depends on besides the files: every installed package (a runtime may use any) and the machine."""
    installed = sorted({f"{each.name}=={each.version}" for each in distributions()})
    machine = [platform.platform(), platform.machine(), os.cpu_count(), sys.version]
    return {"packages": digest_of("\n".join(installed).encode()), "machine": machine}


def _is_only_ours(path: Path) -> bool:
    """Whether no other user can have written the file: it would decide which packages go untried."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
