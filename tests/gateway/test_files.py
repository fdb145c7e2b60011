"""Files by digest at the HTTP door."""

from __future__ import annotations

import time

import httpx

from lepton_core.ids import digest_of
from lepton_core.objects.inline_batch import MEDIA_TYPE, write_batch
from tests.gateway.conftest import Door

SMALL = [b"first", b"the second", b""]


async def test_a_small_file_is_read_with_the_range_that_the_answer_names(door: Door) -> None:
    files = [(digest_of(data), data) for data in SMALL]
    headers = {"content-type": MEDIA_TYPE}
    assert (await door.http.post("/v1/artifacts:inline", content=write_batch(files), headers=headers)).is_success
    answer = await door.http.post("/v1/artifacts:locate", json={"digests": [digest for digest, _ in files]})
    by_digest = {each["digest"]: each for each in answer.json()["locations"]}
    async with httpx.AsyncClient(trust_env=False) as store:
        for digest, data in files:
            place = by_digest[digest]
            if not data:
                assert place["range"] == ""
                continue
            assert place["range"] == f"bytes={place['offset']}-{place['offset'] + len(data) - 1}"
            assert (await store.get(place["url"], headers={"range": place["range"]})).content == data


async def test_many_wrong_entries_are_refused_at_the_first(door: Door) -> None:
    """400,000 errors would take 15 s and 340 MB, in which nobody else is answered."""
    body = b'{"files":[' + b"1," * 400_000 + b"1]}"
    started = time.monotonic()
    answer = await door.http.post("/v1/manifests", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["files[0]"]
    assert time.monotonic() - started < 5
