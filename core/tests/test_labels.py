"""Labels as filters."""

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.jobs.labels import parse_labels


def test_names_and_values() -> None:
    texts = ["team=vision", "note=a=b", "empty=", "team=vision"]
    assert parse_labels(texts, "label") == {"team": "vision", "note": "a=b", "empty": ""}


@pytest.mark.parametrize(
    ("texts", "allowed"),
    [(["team"], "NAME=VALUE"), (["=x"], "letters"), (["a b=x"], "letters"), (["a=x", "a=y"], "each name once")],
)
def test_what_is_no_label(texts: list[str], allowed: str) -> None:
    with pytest.raises(LeptonError) as caught:
        parse_labels(texts, "--label")
    field = caught.value.fields[0]
    assert (caught.value.code, field.field) == (ErrorCode.INVALID, "--label")
    assert allowed in field.allowed
