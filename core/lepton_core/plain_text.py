"""Text from elsewhere, as it may be written to a terminal or a log."""

import json
import unicodedata

# Control and format characters (escape sequences, text that runs backwards), half characters, separators of lines.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: str) -> str:
    """`text` with U+FFFD for each character that could move the cursor, colour the screen or reorder other text.

    Line feeds and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_unsafe(letter) else letter for letter in text)


def plain_json(document: str) -> str:
    """A JSON text with those characters as `\\uXXXX` instead: it has the same meaning, and is safe to print."""
    if document.isprintable():
        return document
    return "".join(json.dumps(letter)[1:-1] if _is_unsafe(letter) else letter for letter in document)


def plain_log(text: str) -> str:
    """The log of a program, for a terminal: as `plain`, and a carriage return (a progress bar's) begins a new line."""
    return plain(text.replace("\r\n", "\n").replace("\r", "\n"))


def _is_unsafe(letter: str) -> bool:
    return letter not in "\n\t" and unicodedata.category(letter) in _UNSAFE_CATEGORIES
