"""The served revisions on local disk, for a replica that starts while the registry is unavailable."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_inference.revisions import PackageFile, Revision, Target

_FORMAT = b"lepton-serving-1"


def write_snapshot(path: Path, targets: Sequence[Target]) -> None:
    """Replaces the snapshot atomically and durably."""
    body = orjson.dumps([asdict(target) for target in targets])
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as stream:
        stream.write(b"%s %s\n%s" % (_FORMAT, digest_of(body).encode(), body))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def read_snapshot(path: Path) -> list[Target]:
    """Empty if there is no snapshot. Raises CORRUPT if it is damaged."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return []
    if head != b"%s %s" % (_FORMAT, digest_of(body).encode()):
        raise LeptonError(ErrorCode.CORRUPT, f"{path.name} is damaged")
    return [_target(entry) for entry in orjson.loads(body)]


def _target(entry: dict[str, object]) -> Target:
    return Target(
        str(entry["project"]), str(entry["deployment"]), _revision(entry["desired"]), _revision(entry["last_good"])
    )


def _revision(entry: object) -> Revision | None:
    if not isinstance(entry, dict):
        return None
    files = tuple(PackageFile(**file) for file in entry.pop("files"))
    return Revision(**entry, files=files)
