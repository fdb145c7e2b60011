"""The clock of leases and fences."""

import time

# It counts while the machine is suspended, so that a lease cannot outlive a closed lid. macOS has no CLOCK_BOOTTIME,
# and its CLOCK_MONOTONIC counts suspend already.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds since the machine started."""
    return time.clock_gettime(_CLOCK)
