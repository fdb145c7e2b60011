"""The loop for work that the leader repeats."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lepton_core.errors import LeptonError
from lepton_registry.database.leadership import Leadership, NotLeader

log = logging.getLogger(__name__)

Task = Callable[[], Awaitable[None]]
# One round of the work. Returns text for the log about what it did, or "" if there was nothing to do.
Work = Callable[[], Awaitable[str]]


def leader_task(name: str, leadership: Leadership, work: Work, *, pause_seconds: float) -> Task:
    """A task that runs `work` repeatedly, with pauses, while this process leads.

    While the store or database is unavailable, the work is tried again after the next pause. `work` must be repeatable,
    since the term may end in the middle of it.
    """

    async def run() -> None:
        while True:
            await asyncio.sleep(pause_seconds)
            if leadership.term is None:
                continue
            try:
                done = await work()
            except NotLeader as error:
                leadership.lost(error)
            except LeptonError as error:
                log.warning("%s failed and will be tried again: %s", name, error.detail)
            else:
                if done:
                    log.info("%s: %s", name, done)

    return run
