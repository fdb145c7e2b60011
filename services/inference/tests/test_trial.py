"""A model that takes all time or memory harms nobody: its trial ends, and it is set aside."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_inference.trial import HarmfulModelError, TrialLimits, Trials
from lepton_inference.warm_up import WarmUpLimits
from services.inference.tests.fleet import Fleet, until
from services.inference.tests.packages import endless, make_revision, multiplier, wide

WARM_UP = WarmUpLimits(max_batch_rows=4, inline_seconds=0.001, threads=0, max_request_bytes=2**25)


@asynccontextmanager
async def trials(seconds: float = 60.0, memory: int = 2**31, warm_up: WarmUpLimits = WARM_UP) -> AsyncIterator[Trials]:
    found = Trials(TrialLimits(seconds, memory), warm_up)
    try:
        yield found
    finally:
        await found.close()


async def test_an_endless_graph_is_ended() -> None:
    async with trials(seconds=3.0) as found:
        with pytest.raises(HarmfulModelError, match="longer than 3 s"):
            await found.run(endless())


async def test_a_row_larger_than_any_request_is_refused_before_memory_is_taken() -> None:
    async with trials() as found:
        with pytest.raises(LeptonError, match="larger than any request"):
            await found.run(wide(2**31))


async def test_memory_beyond_the_limit_is_refused() -> None:
    limits = WarmUpLimits(max_batch_rows=1, inline_seconds=0.001, threads=1, max_request_bytes=2**40)
    async with trials(memory=2**29, warm_up=limits) as found:
        with pytest.raises(HarmfulModelError, match="bytes of memory"):
            await found.run(wide(2**30))


async def test_an_unexpected_fault_of_the_package_is_reported() -> None:
    async with trials() as found:
        with pytest.raises(LeptonError) as refused:
            await found.run({})
    assert refused.value.code is ErrorCode.INVALID
    assert "could not be loaded" in refused.value.detail


@pytest.mark.parametrize("seconds", [0.0, 0.5])
async def test_a_child_that_somebody_killed_before_a_trial_is_not_the_models_fault(seconds: float) -> None:
    async with trials() as found:
        await found.run(multiplier(2.0))
        assert found._spare is not None
        (await found._spare).kill()
        # Noticed already, or not yet.
        await asyncio.sleep(seconds)
        await found.run(multiplier(2.0))


async def test_endless_models_of_one_project_do_not_stop_another_and_are_not_tried_again(
    start_fleet: Any,
) -> None:
    fleet = await start_fleet(load_seconds=5.0)
    bad = [fleet.put(endless(), f"endless-{number}") for number in range(3)]
    for revision in bad:
        fleet.target(revision)
    good = make_revision(multiplier(), project="prj_b")
    fleet.put(multiplier())
    fleet.target(good)
    await until(lambda: fleet.replica.repository.find("prj_b", "double"), "the other project's model", 30)
    assert len(fleet.reports) < len(bad)
    await until(lambda: len(fleet.reports) == len(bad) + 1, "all reports", 60)

    later = await start_fleet(load_seconds=5.0)
    started = time.monotonic()
    later.target(bad[0])
    await later.replica.repository.settled()
    assert time.monotonic() - started < 4.0
    assert "longer than 5 s" in (later.replica.repository.status("prj_a", "endless-0") or "")


async def test_draining_does_not_wait_for_a_trial(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        fleet = await Fleet(tmp_path, stack).start(load_seconds=60.0)
        fleet.target(fleet.put(endless()))
        await until(lambda: fleet.replica.repository.status("prj_a", "double") == "loading", "the trial")
        started = time.monotonic()
    assert time.monotonic() - started < 20.0
