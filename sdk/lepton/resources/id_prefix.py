"""Ids by a unique beginning, as people type them."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_core.errors import ErrorCode, LeptonError, invalid

SHOWN_MATCHES = 5


def only_match(kind: str, text: str, ids: Sequence[str]) -> str:
    """The one of `ids` that begins with `text`. `kind`: what the ids belong to, such as `run`.

    Raises NOT_FOUND if there is none, INVALID with the matching ids if there are several.
    """
    matches = [id for id in ids if id.startswith(text)]
    if not matches:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no {kind} whose id begins with {text!r}")
    if len(matches) > 1:
        more = ", …" if len(matches) > SHOWN_MATCHES else ""
        raise invalid(kind, "is the beginning of several ids", text, ", ".join(matches[:SHOWN_MATCHES]) + more)
    return matches[0]
