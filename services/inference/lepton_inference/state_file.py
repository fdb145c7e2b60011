"""Small JSON objects on disk that outlive the process. A file that cannot be read counts as empty."""

import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MAX_ENTRIES = 1000


def read_entries(path: Path) -> dict[str, Any]:
    try:
        return {str(key): value for key, value in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        log.warning("%s cannot be read and is ignored: %s", path, error)
        return {}


def write_entries(path: Path, entries: dict[str, Any]) -> None:
    """Replaces the file, which only its owner can read or write. An error, such as a full disk, is only logged.

    Drops the oldest of more than `MAX_ENTRIES` entries.
    """
    while len(entries) > MAX_ENTRIES:
        del entries[next(iter(entries))]
    fresh = path.with_suffix(".new-json")
    try:
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - takes the mode
            json.dump(entries, file)
        fresh.replace(path)
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error)
