"""Keys of objects: each is used once, and tells when it was made."""

from lepton_core.ids import is_ulid, new_ulid, ulid_time_us

PREFIX = "artifacts/"


def fresh_key() -> str:
    """Never used before and never again. The folders spread keys, since the bundled store keeps them as files."""
    name = new_ulid()
    return f"{PREFIX}{name[-2:]}/{name}"


def made_at_us(key: str, prefix: str = PREFIX) -> int | None:
    """None for a key that is not of our making, and so not ours to delete."""
    name = key.rpartition("/")[2]
    return ulid_time_us(name) if key.startswith(prefix) and is_ulid(name) else None
