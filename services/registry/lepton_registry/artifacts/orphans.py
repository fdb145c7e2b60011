"""Finds objects without a row, as a crash may leave them, by comparing the store's listing with the database."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import sqlalchemy as sa

from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts.keys import made_at_us
from lepton_registry.database.engine import Database

BATCH = 500
# Returns the keys, of those given, that a row uses.
Known = Callable[[sa.Connection, Sequence[str]], set[str]]


def _named(known: Known, keys: Sequence[str], conn: sa.Connection) -> set[str]:
    return known(conn, keys)


async def delete_orphans(database: Database, objects: ObjectStore, prefix: str, known: Known, before_us: int) -> int:
    """Deletes the objects below `prefix` that are older than that and not `known`; returns their number.

    A key is used once, so an old key cannot get a row between the query and the deletion.
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
