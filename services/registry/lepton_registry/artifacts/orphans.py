"""Objects that no row names, as a crash may leave them: found by comparing the store's listing with the rows."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import sqlalchemy as sa

from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts.keys import made_at_us
from lepton_registry.database.engine import Database

BATCH = 500
# Which of these keys a row names.
Known = Callable[[sa.Connection, Sequence[str]], set[str]]


def _named(known: Known, keys: Sequence[str], conn: sa.Connection) -> set[str]:
    return known(conn, keys)


async def delete_orphans(database: Database, objects: ObjectStore, prefix: str, known: Known, before_us: int) -> int:
    """Delete the objects below `prefix` that were made before that time and that `known` does not name; how many.

    A key is used once, so an old one gets no new row between the question and the deletion.
    """
    orphans = 0
    listing = objects.list_keys(prefix)
    while chunk := await asyncio.to_thread(lambda: list(islice(listing, BATCH))):
        old = [key for key in chunk if (made_at_us(key, prefix) or before_us) < before_us]
        named = await database.read(partial(_named, known, old))
        for key in set(old) - named:
            await asyncio.to_thread(objects.delete, key)
            orphans += 1
    return orphans
