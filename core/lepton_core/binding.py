"""Who can reach an address that a service listens at."""

import ipaddress


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
