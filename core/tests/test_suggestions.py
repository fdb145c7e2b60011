"""What a misspelt name may have meant."""

import pytest

from lepton_core.validation import near_matches


@pytest.mark.parametrize(
    ("name", "near"), [("age", ["Age"]), ("AGEE", ["Age"]), ("zzzz", []), ("loss", ["Loss", "loss", "LOSS"])]
)
def test_names_come_near_whatever_their_case(name: str, near: list[str]) -> None:
    assert near_matches(name, ["Age", "Loss", "loss", "LOSS", "loss2"]) == near
