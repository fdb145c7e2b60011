"""Pauses between the tries of a call that failed, for all clients: doubled each time, with jitter, bounded.

Written here, since what a library adds is the loop around the call, and each of the loops is different: it stops with
an attempt, continues a stream behind its last message, or a download behind its last byte.
"""

import math
import random
import time
from dataclasses import dataclass

from lepton_core.errors import LeptonError

# A server may ask for a longer pause; nobody waits longer than this before a try.
LONGEST_RETRY_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    first_seconds: float = 0.2
    longest_seconds: float = 5.0

    def pause(self, failures: int, error: LeptonError | None = None) -> float:
        """Seconds to wait after so many failures in a row (from 1), or as long as the server asked for, if longer.

        The jitter keeps clients of one server from retrying at the same time after an outage. A server that always
        asks for 0 seconds must not be called without a pause.
        """
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - not used for a secret
        asked = (error and error.retry_after_seconds) or 0.0
        return max(pause, min(asked, LONGEST_RETRY_AFTER_SECONDS))


class Retrying:
    """The tries of one call: at most `failures`, none that would begin later than `seconds` after the creation."""

    def __init__(self, backoff: Backoff, *, seconds: float = math.inf, failures: float = math.inf) -> None:
        self._backoff = backoff
        self._deadline = time.monotonic() + seconds
        self._most = failures
        self.failures = 0

    def pause_after(self, error: LeptonError, *, retryable: bool | None = None) -> float:
        """Seconds to wait before the next try. Raises `error` if there is none. `retryable`: None: as its code says."""
        self.failures += 1
        pause = self._backoff.pause(self.failures, error)
        again = error.retryable if retryable is None else retryable
        if not again or self.failures > self._most or time.monotonic() + pause > self._deadline:
            raise error
        return pause
