"""Revisions whose trial did harm: they stay set aside over a restart. A new promote or deploy makes a new revision."""

import json
import logging
from pathlib import Path

log = logging.getLogger(__name__)

MAX_REVISIONS = 1000


class SetAside:
    """By revision: why it is not tried again. The oldest are forgotten beyond `MAX_REVISIONS`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reasons: dict[str, str] = {}
        try:
            found = json.loads(path.read_bytes())
            self._reasons = {str(id_): str(reason) for id_, reason in found.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError) as error:
            log.warning("%s cannot be read, and is ignored: %s", path, error)

    def reason(self, revision_id: str) -> str:
        """Empty when the revision may be tried."""
        return self._reasons.get(revision_id, "")

    def add(self, revision_id: str, reason: str) -> None:
        """Durable when it returns, unless the disk is full, which is logged."""
        self._reasons[revision_id] = reason
        while len(self._reasons) > MAX_REVISIONS:
            del self._reasons[next(iter(self._reasons))]
        fresh = self._path.with_suffix(".new-json")
        try:
            fresh.write_text(json.dumps(self._reasons), encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)
