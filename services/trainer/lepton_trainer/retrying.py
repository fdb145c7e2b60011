"""Wait out what is only unavailable: a registry that restarts, a store that is down. It never fails a run."""

import logging
import random
from collections.abc import Callable
from typing import TypeVar

from lepton_core.errors import ErrorCode, LeptonError
from lepton_trainer.processes.control_channel import Control, Stop

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
# A server's own fault may pass, as when its disk was full for a moment; it must not hold a run for ever.
INTERNAL_ERROR_TRIES = 12
# What says that the attempt is no longer ours to write to.
REFUSALS = frozenset(
    {ErrorCode.STALE_ATTEMPT, ErrorCode.NOT_FOUND, ErrorCode.PERMISSION_DENIED, ErrorCode.UNAUTHENTICATED}
)


class AbandonedError(Exception):
    """The attempt is no longer ours; there is nobody left to retry for."""


def retry(call: Callable[[], Answer], control: Control, what: str) -> Answer:
    """`call` until it answers. Raises its error when waiting cannot help, AbandonedError once the attempt is lost."""
    delay = FIRST_DELAY_SECONDS
    tries = 0
    while True:
        if control.abandoned.is_set():
            raise AbandonedError
        try:
            return call()
        except LeptonError as error:
            if error.code is ErrorCode.STALE_ATTEMPT:
                control.request(Stop.STALE, error.detail)
                raise AbandonedError from error
            tries += 1
            if not (error.retryable or _may_pass(error, tries)):
                raise
            if tries == 1:
                _log.warning("%s: %s; trying again until it works", what, error.detail)
            delay = max(delay, error.retry_after_seconds or 0.0)
        # Jitter, so that many workers do not come back in step.
        control.abandoned.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
        delay = min(delay * 2, LONGEST_DELAY_SECONDS)


def _may_pass(error: LeptonError, tries: int) -> bool:
    return error.code in (ErrorCode.INTERNAL, ErrorCode.CANCELLED) and tries < INTERNAL_ERROR_TRIES
