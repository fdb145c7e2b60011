"""Files by digest at the HTTP door."""

from __future__ import annotations

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
