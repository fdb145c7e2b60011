"""Retries calls during an outage, such as a restart of the registry or the store, which must not fail a run."""

import logging
import math
from collections.abc import Callable
from typing import TypeVar

from lepton_core.backoff import Backoff, Retrying
from lepton_core.errors import ErrorCode, LeptonError
from lepton_trainer.processes.control_channel import Control, Stop

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

BACKOFF = Backoff(first_seconds=0.1, longest_seconds=5.0)
# An internal error of a server may be temporary, such as a full disk, but must not block a run for ever.
INTERNAL_ERROR_TRIES = 12
# The codes that mean that this attempt may no longer write.
REFUSALS = frozenset(
    {ErrorCode.STALE_ATTEMPT, ErrorCode.NOT_FOUND, ErrorCode.PERMISSION_DENIED, ErrorCode.UNAUTHENTICATED}
)


class AbandonedError(Exception):
    """The attempt is lost, so there is no reason to retry."""


def retry(call: Callable[[], Answer], control: Control, what: str, *, seconds: float = math.inf) -> Answer:
    """Calls `call` until it succeeds. Raises its error if a retry cannot help or would begin after more than `seconds`,
    AbandonedError when the attempt is lost."""
    retrying = Retrying(BACKOFF, seconds=seconds)
    while True:
        if control.abandoned.is_set():
            raise AbandonedError
        try:
            return call()
        except LeptonError as error:
            if error.code is ErrorCode.STALE_ATTEMPT:
                _log.warning("%s: %s", what, error.detail)
                control.request(Stop.STALE)
                raise AbandonedError from error
            pause = retrying.pause_after(error, retryable=error.retryable or _may_pass(error, retrying.failures + 1))
            if retrying.failures == 1:
                _log.warning("%s: %s; trying again", what, error.detail)
        control.abandoned.wait(pause)


def _may_pass(error: LeptonError, failures: int) -> bool:
    return error.code in (ErrorCode.INTERNAL, ErrorCode.CANCELLED) and failures < INTERNAL_ERROR_TRIES
