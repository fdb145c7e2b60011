"""The clock of leases and fences."""

import time

# This clock also counts while the machine is suspended, so that a lease expires during that time. macOS has no
# CLOCK_BOOTTIME, but its CLOCK_MONOTONIC also counts then.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds since the machine started."""
    return time.clock_gettime(_CLOCK)
