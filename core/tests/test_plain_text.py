"""Text from elsewhere that reaches a terminal: no escape sequences, no reordered text."""

import io
import json
import logging

import pytest

from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid, shown
from lepton_core.observability import configure_logging
from lepton_core.plain_text import plain, plain_json

# Escape, a control sequence of one character, right-to-left override, a tag character beyond the first plane.
UNSAFE = "\x1b[31m\x9b2J\u202ecod.exe\U000e0041"


def is_safe(text: str) -> bool:
    return all(letter.isprintable() for letter in text if letter not in "\n\t")


def test_unsafe_characters_are_replaced_one_by_one_and_lines_stay() -> None:
    text = plain(f"a\n\tb{UNSAFE}é")
    assert text == "a\n\tb\ufffd[31m\ufffd2J\ufffdcod.exe\ufffdé"
    assert is_safe(text)


def test_json_says_the_same_in_characters_that_can_be_printed() -> None:
    value = {"name": UNSAFE, "others": ["é", "模型"]}
    for indent in (None, 2):
        text = plain_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert is_safe(text)
        assert "模型" in text
        assert json.loads(text) == value


@pytest.mark.parametrize(
    "error",
    [
        invalid("name", "wrong", UNSAFE, f"one of {UNSAFE}"),
        LeptonError(ErrorCode.NOT_FOUND, f"no column {UNSAFE}", [FieldError("a", UNSAFE), FieldError("b", UNSAFE)]),
    ],
)
def test_an_error_as_text_can_be_printed(error: LeptonError) -> None:
    assert is_safe(str(error))


def test_a_refused_value_is_shown_as_json_that_can_be_printed() -> None:
    assert json.loads(shown(UNSAFE)) == UNSAFE
    assert is_safe(shown([UNSAFE]))
    assert len(shown("\u202e" * 10_000)) <= 200


def test_a_record_of_a_service_log_can_be_printed() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        configure_logging("test", stream=stream)
        logging.getLogger("lepton.test").warning("no run %s", UNSAFE)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert "no run" in stream.getvalue()
    assert is_safe(stream.getvalue())
