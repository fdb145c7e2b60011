"""Prediction ids, and the sampled log."""

import json
from pathlib import Path
from typing import Any

from lepton_core.ids import is_ulid, new_id
from lepton_inference.predictions import PredictionIds
from services.inference.tests.fleet import until
from services.inference.tests.packages import multiplier
from services.inference.tests.test_repository import answered


def test_ids_are_unique_carry_the_revision_and_sort_in_their_order() -> None:
    ids, revision = PredictionIds(), new_id("rev")
    found = [ids.new(revision) for _ in range(10_000)]
    assert len(set(found)) == len(found)
    assert all(each.split("_")[1] == revision[4:] and is_ulid(each.split("_")[2]) for each in found)


async def test_every_prediction_is_logged_at_a_sample_of_one(start_fleet: Any) -> None:
    fleet = await start_fleet(prediction_sample=1.0)
    await fleet.deploy(multiplier())
    for _ in range(3):
        await answered(fleet)
    log: Path = fleet.folder / "cache" / "predictions.jsonl"

    def entries() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    await until(lambda: len(entries()) == 3, "three lines")
    entry = entries()[0]
    assert entry["deployment"] == "double"
    assert entry["id"].startswith("pred_")
    assert entry["caller"].startswith("key_")


async def test_the_log_is_bounded(start_fleet: Any) -> None:
    fleet = await start_fleet(prediction_sample=1.0, prediction_log_bytes=2000)
    await fleet.deploy(multiplier())
    log: Path = fleet.folder / "cache" / "predictions.jsonl"
    for _ in range(20):
        await answered(fleet)
    await until(lambda: log.with_suffix(".jsonl.1").exists(), "the second file")
    assert len(list(log.parent.glob("predictions*"))) == 2
