"""Of which attempt files are fetched."""

from __future__ import annotations

import pytest

from lepton.resources.left_files import left_by, require_left
from lepton_core.api import Attempt, AttemptState
from lepton_core.errors import ErrorCode, LeptonError

RUN = "run_1"


def attempts(*digests: str) -> list[Attempt]:
    return [
        Attempt(number=number, state=AttemptState.FAILED, files_digest=digest)
        for number, digest in enumerate(digests, 1)
    ]


@pytest.mark.parametrize(
    ("found", "number", "digest"),
    [
        (attempts("a", "b", ""), None, "b"),
        (attempts("a", "b", ""), 1, "a"),
        (attempts("a", "b", ""), 3, None),
        (attempts("", ""), None, None),
        ([], None, None),
    ],
)
def test_the_last_attempt_with_files_or_the_given_one(
    found: list[Attempt], number: int | None, digest: str | None
) -> None:
    chosen = left_by(RUN, found, number)
    assert (chosen.files_digest if chosen else None) == digest


@pytest.mark.parametrize(
    ("found", "number", "allowed"),
    [
        (attempts("a", "b"), 3, "1, 2"),
        ([], 1, "none yet"),
        (attempts("", "b"), 1, "2"),
        (attempts("", ""), None, "none: no attempt of this run left files"),
    ],
)
def test_what_is_not_kept_is_not_found_and_the_error_names_what_is(
    found: list[Attempt], number: int | None, allowed: str
) -> None:
    with pytest.raises(LeptonError) as raised:
        require_left(RUN, found, number)
    error = raised.value
    assert (error.code, error.fields[0].field, error.fields[0].allowed) == (ErrorCode.NOT_FOUND, "attempt", allowed)
