"""Revisions that are set aside: they did harm and are not loaded again, also after a restart. A promote or deploy makes
a new revision, which is tried."""

import threading
from pathlib import Path

from lepton_inference.state_file import read_entries, write_entries

# How often a revision may block the event loop before it is set aside: one time may have another cause.
MAX_STOPS = 2


class SetAside:
    """The reasons by revision; only the newest `state_file.MAX_ENTRIES` are kept. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stops_path = path.with_name("loop-stops.json")
        self._lock = threading.Lock()
        self._reasons = {id_: str(reason) for id_, reason in read_entries(path).items()}
        self._stops = {id_: count for id_, count in read_entries(self._stops_path).items() if isinstance(count, int)}

    def reason(self, revision_id: str) -> str:
        """The reason; empty if the revision may be loaded."""
        return self._reasons.get(revision_id, "")

    def add(self, revision_id: str, reason: str) -> None:
        """Saves the reason on disk. An error, such as a full disk, is only logged."""
        with self._lock:
            self._reasons[revision_id] = reason
            write_entries(self._path, self._reasons)

    def loop_stopped(self, revision_id: str) -> bool:
        """Counts that the revision blocked the event loop. Returns whether it is now set aside."""
        with self._lock:
            count = self._stops[revision_id] = self._stops.get(revision_id, 0) + 1
            write_entries(self._stops_path, self._stops)
        if count < MAX_STOPS:
            return False
        self.add(revision_id, f"it blocked the server {count} times: it does not end for some input")
        return True
