"""Files that nobody meant as data."""

from pathlib import Path

# What Windows leaves in folders of pictures, and macOS in archives.
_LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini", "__macosx"}


def hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.lower() in _LEFT_BY_SYSTEMS for part in path.parts)
