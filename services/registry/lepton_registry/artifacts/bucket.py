"""Checks that the bucket belongs to this database alone: objects without a row in the database are deleted."""

import asyncio
import logging

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.objects.store import ObjectStore
from lepton_registry.refusal import RefusedToStart

log = logging.getLogger(__name__)

# Outside of the prefixes that are collected. Its content is the id of the database's first project.
MARK = "lepton-owner"
RETRY_SECONDS = 0.5
_MARK_BYTES = 64


async def take(objects: ObjectStore, owner: str, taken: asyncio.Event) -> None:
    """Sets `taken` when the bucket exists and is ours. The store may be unavailable or start later than the registry.

    Raises RefusedToStart for a bucket of another database.
    """
    while not taken.is_set():
        try:
            await asyncio.to_thread(_take, objects, owner)
            taken.set()
        except LeptonError as error:
            log.warning("the bucket waits: %s", error.detail)
            await asyncio.sleep(RETRY_SECONDS)


def _take(objects: ObjectStore, owner: str) -> None:
    objects.ensure_bucket()
    held_by = _holder(objects)
    if not held_by:
        objects.put(MARK, owner.encode())
        held_by = _holder(objects)  # another registry may have written it at the same time
    if held_by != owner:
        raise RefusedToStart(
            f"the bucket {objects.bucket!r} belongs to another database (its first project is {held_by}, this one's is "
            f"{owner}), whose files would be deleted; use another bucket for this one. If that database no longer "
            f"exists, delete the object {MARK!r} from the bucket"
        )


def _holder(objects: ObjectStore) -> str:
    """Empty if nobody's."""
    try:
        size = objects.size(MARK)
        return objects.read(MARK, 0, min(size, _MARK_BYTES)).decode(errors="replace") if size else ""
    except LeptonError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return ""
        raise
