"""Where a service may listen."""

import ipaddress

from lepton_core.errors import ErrorCode, LeptonError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host` (also given as `host:port` or `[::1]:port`)."""
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Another name may resolve to anything, and to something else tomorrow.
        return False


def check_bind(host: str, authenticated: bool) -> None:
    """Raises FAILED_PRECONDITION for a service that would let strangers in without asking who they are."""
    if not authenticated and not is_loopback(host):
        raise LeptonError(
            ErrorCode.FAILED_PRECONDITION,
            f"refusing to listen at {host!r} without authentication: everybody who can reach it could use it. "
            "Turn authentication on, or listen at 127.0.0.1",
        )
