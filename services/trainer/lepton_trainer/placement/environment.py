"""Describes this machine's environment (Python, platform, packages), without importing any package."""

import contextlib
import json
import os
import platform
from importlib import metadata
from typing import Any

from lepton_core.ids import digest_of


def describe_environment() -> dict[str, Any]:
    """All that is needed to build the same environment again."""
    installed = {each.metadata["Name"]: each for each in metadata.distributions()}
    names = sorted(installed, key=str.lower)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "packages": {name: installed[name].version for name in names},
        # Separate from the versions, so that the format of `packages` does not change.
        "package_hashes": {name: found for name in names if (found := _package_hash(installed[name]))},
    }


def _package_hash(package: metadata.Distribution) -> str:
    """`archive:ALGORITHM:HEX`, of the file it was installed from, where direct_url.json has it.

    Else `record:sha256:HEX`, of its RECORD, which lists every installed file with a hash; empty when there is neither.
    """
    with contextlib.suppress(ValueError, AttributeError):  # the file of another installer; RECORD is used
        archive = json.loads(package.read_text("direct_url.json") or "{}").get("archive_info", {})
        for algorithm, value in sorted(archive.get("hashes", {}).items()):
            return f"archive:{algorithm}:{value}"
    record = package.read_text("RECORD")
    return f"record:{digest_of(record.encode())}" if record else ""
