"""What ran where: Python, platform, packages; and the digest of a recipe's source. Without importing any of it."""

import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from lepton_core.ids import digest_of
from lepton_core.validation import canonical_json


def describe_environment() -> dict[str, Any]:
    """Enough to build the same environment again."""
    packages = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "packages": {name: packages[name] for name in sorted(packages, key=str.lower)},
    }


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
