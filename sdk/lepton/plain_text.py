"""Text from elsewhere, as it may be written to a terminal."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """Without control characters: a text from a server must not move the cursor or colour the screen."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf") else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
