"""The digest of a recipe's source, without importing it."""

import importlib.util
from pathlib import Path

from lepton_core.ids import digest_of
from lepton_core.validation import canonical_json


def source_digest(entry: str) -> str:
    """Manifest digest of the Python files in the folder of `package.module:Class`."""
    spec = importlib.util.find_spec(entry.partition(":")[0].rpartition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return ""
    folder = Path(spec.submodule_search_locations[0])
    files = sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix())
    entries = []
    for file in files:
        data = file.read_bytes()
        entries.append({"path": file.relative_to(folder).as_posix(), "digest": digest_of(data), "bytes": len(data)})
    return digest_of(canonical_json(entries).encode())
