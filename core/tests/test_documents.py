"""JSON documents from outside."""

import pytest

from lepton_core.validation import _distinct


def test_a_key_that_occurs_twice_is_found_in_one_pass() -> None:
    class Name(str):
        __slots__ = ()
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, other)

    pairs = [(Name(f"key{at}"), 1) for at in range(2000)]
    with pytest.raises(ValueError, match="'key1999' occurs twice"):
        _distinct([*pairs, (Name("key1999"), 2)])
    assert Name.compared < 2000
