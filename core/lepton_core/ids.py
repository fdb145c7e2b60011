"""Prefixed ULIDs, labels, digests and references: every name that crosses a boundary."""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

from lepton_core.errors import invalid

# Crockford's base 32 (https://github.com/ulid/spec): sorts like the number, without I, L, O, U.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]

LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
LABEL_RULE = "letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 128 characters"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"

_LABEL = re.compile(LABEL_PATTERN)
_DIGEST = re.compile(DIGEST_PATTERN)
_PREFIX = re.compile(r"[a-z]{2,4}")
_ID = re.compile(r"([a-z]{2,4})_([0-7][0-9A-HJKMNP-TV-Z]{25})")
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_MAX_VERSION = 2**53


def new_ulid() -> str:
    """48 bits of milliseconds, then 80 random bits: sorts by time, cannot be guessed."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join([_PAIRS[(number >> shift) & 0x3FF] for shift in range(120, -1, -10)])


def new_id(prefix: str) -> str:
    """`prefix`: two to four small letters, one for each kind of resource."""
    assert _PREFIX.fullmatch(prefix), prefix
    return f"{prefix}_{new_ulid()}"


def is_id(value: str, prefix: str) -> bool:
    match = _ID.fullmatch(value)
    return match is not None and match[1] == prefix


def is_ulid(value: str) -> bool:
    return _ULID.fullmatch(value) is not None


def ulid_time_us(ulid: str) -> int:
    """When it was made, to the millisecond."""
    milliseconds = 0
    for character in ulid[:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(character)
    return milliseconds * 1000


def id_range(beginning: str, prefix: str) -> tuple[str, str] | None:
    """The lowest and the highest id with that beginning, both included; None if no id can begin so.

    Both have the length of an id, so that they compare alike in every collation of a database.
    """
    low, high = f"{prefix}_00000000000000000000000000", f"{prefix}_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    ends = beginning + low[len(beginning) :], beginning + high[len(beginning) :]
    return ends if all(is_id(end, prefix) for end in ends) else None


def check_id(value: str, prefix: str, field: str) -> str:
    if not is_id(value, prefix):
        raise invalid(field, "not an id of this kind", value, f"{prefix}_ and a ULID of 26 characters")
    return value


def check_label(value: str, field: str) -> str:
    # fullmatch, since `$` would also accept a trailing newline.
    if not _LABEL.fullmatch(value):
        raise invalid(field, "not a valid name", value, LABEL_RULE)
    return value


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def check_digest(value: str, field: str) -> str:
    if not _DIGEST.fullmatch(value):
        raise invalid(field, "not a digest", value, "sha256: and 64 hexadecimal digits in lower case")
    return value


@dataclass(frozen=True, slots=True)
class Reference:
    """`name`, `name@3`, `name@alias` or `name@sha256:…`; without a selector the alias is `latest`."""

    name: str
    version: int | None = None
    digest: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.version or self.digest or self.alias}"


def parse_reference(value: str, field: str) -> Reference:
    name, at, selector = value.partition("@")
    allowed = "name, name@latest, name@<version>, name@<alias> or name@sha256:<digest>"
    if not _LABEL.fullmatch(name) or (at and not selector):
        raise invalid(field, "not a reference", value, allowed)
    if not at:
        return Reference(name, alias="latest")
    if selector.startswith("sha256:"):
        return Reference(name, digest=check_digest(selector, field))
    if selector.isascii() and selector.isdigit():
        # The length first: int() of a hostile megabyte of digits is quadratic.
        version = int(selector) if len(selector) <= len(str(_MAX_VERSION)) else 0
        if not 1 <= version <= _MAX_VERSION:
            raise invalid(field, "not a version number", value, "a whole number from 1")
        return Reference(name, version=version)
    if not _LABEL.fullmatch(selector):
        raise invalid(field, "not a reference", value, allowed)
    return Reference(name, alias=selector)
