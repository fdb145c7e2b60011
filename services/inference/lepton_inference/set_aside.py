"""Revisions that did harm: they stay set aside over a restart. A new promote or deploy makes a new revision."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MAX_REVISIONS = 1000
# So many times a revision may have stopped the event loop: once may have been a machine that was out of memory.
MAX_STOPS = 2


class SetAside:
    """By revision: why it is not tried again. The oldest are forgotten beyond `MAX_REVISIONS`. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stops_path = path.with_name("loop-stops.json")
        self._lock = threading.Lock()
        self._reasons = {id_: str(reason) for id_, reason in _read(path).items()}
        self._stops = {id_: count for id_, count in _read(self._stops_path).items() if isinstance(count, int)}

    def reason(self, revision_id: str) -> str:
        """Empty when the revision may be tried."""
        return self._reasons.get(revision_id, "")

    def add(self, revision_id: str, reason: str) -> None:
        """Durable when it returns, unless the disk is full, which is logged."""
        with self._lock:
            self._reasons[revision_id] = reason
            _write(self._path, self._reasons)

    def loop_stopped(self, revision_id: str) -> bool:
        """Notes that the revision stopped the event loop. True when it is set aside for it."""
        with self._lock:
            count = self._stops[revision_id] = self._stops.get(revision_id, 0) + 1
            _write(self._stops_path, self._stops)
        if count < MAX_STOPS:
            return False
        self.add(revision_id, f"it stopped the server {count} times: an input kept it running without end")
        return True


def _read(path: Path) -> dict[str, Any]:
    try:
        return {str(id_): value for id_, value in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        log.warning("%s cannot be read, and is ignored: %s", path, error)
        return {}


def _write(path: Path, entries: dict[str, Any]) -> None:
    while len(entries) > MAX_REVISIONS:
        del entries[next(iter(entries))]
    fresh = path.with_suffix(".new-json")
    try:
        fresh.write_text(json.dumps(entries), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error)
