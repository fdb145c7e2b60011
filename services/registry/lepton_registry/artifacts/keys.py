"""Keys of objects: each is used once, and contains the time at which it was made."""

from lepton_core.ids import is_ulid, new_ulid, ulid_time_us

PREFIX = "artifacts/"


def fresh_key() -> str:
    """A new key. It has a folder, which spreads the files of the bundled store over directories."""
    name = new_ulid()
    return f"{PREFIX}{name[-2:]}/{name}"


def made_at_us(key: str, prefix: str = PREFIX) -> int | None:
    """The time at which the key was made; None for a key that is not ours, which must not be deleted."""
    name = key.rpartition("/")[2]
    return ulid_time_us(name) if key.startswith(prefix) and is_ulid(name) else None
