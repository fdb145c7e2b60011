"""Reports the files of the data that a recipe does not read."""

from collections.abc import Iterable
from pathlib import Path

from lepton_core.data_layout.hidden import hidden

_SHOWN = 5


def unread_note(data_dir: Path, read: Iterable[Path]) -> tuple[str, ...]:
    """A line for the run's log, empty if every file was read. Hidden files are named last."""
    files = {path.relative_to(data_dir) for path in data_dir.rglob("*") if path.is_file()}
    unread = sorted(files - {path.relative_to(data_dir) for path in read}, key=lambda path: (hidden(path), path))
    if not unread:
        return ()
    more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
    names = ", ".join(path.as_posix() for path in unread[:_SHOWN])
    return (f"data: {len(unread)} {'file' if len(unread) == 1 else 'files'} not read: {names}{more}",)
