"""Jobs at the HTTP door: what is taken, and what is refused before it could harm anything behind it."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_core.validation import MAX_JSON_DEPTH
from tests.gateway.conftest import Door


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"in": inner}
    return inner


async def test_a_job_is_accepted_and_its_key_gives_it_again(door: Door) -> None:
    first, again = await door.submit(), await door.submit()
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize("levels", [MAX_JSON_DEPTH, 255, 900, 5_000])
async def test_settings_nested_too_deeply_are_refused(door: Door, levels: int) -> None:
    text = '{"in":' * levels + "{}" + "}" * levels
    body = '{"name": "job", "recipe": "r", "data": "digits", "train": ' + text + "}"
    answer = await door.http.post("/v1/jobs", content=body, headers={"idempotency-key": "k"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"


async def test_settings_as_deep_as_allowed_are_stored_and_read(door: Door) -> None:
    # The document and its `train` are levels too.
    answer = await door.submit(train=nested(MAX_JSON_DEPTH - 1))
    assert answer.status_code == 202, answer.text
    again = await door.http.get(f"/v1/runs/{answer.json()['id']}")
    assert again.json()["spec"]["train"] == nested(MAX_JSON_DEPTH - 1)
