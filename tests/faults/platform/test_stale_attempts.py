"""Somebody else has taken the run over: whatever the earlier attempt still writes is refused."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from lepton_core.api import AttemptState, FileEntry, RunState
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of, new_id, new_ulid
from lepton_core.journal import encode_record
from lepton_fixtures.attempt_trees import gone, tree_of
from lepton_fixtures.jobs import (
    COUNTING,
    START_SECONDS,
    Curve,
    assert_succeeded,
    counted,
    curve,
    images_job,
    submit_script,
    wait_checkpoint,
)
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import ServerProcess, wait_until
from lepton_trainer.assignment import Assignment
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.reporting.registry import Announcement, AttemptRegistry, Finished, PoolRegistry, Result

pytestmark = pytest.mark.timeout(300)
LEASE_SECONDS = 60  # until the registry must have seen that a lease of 15 s is over, on a busy machine
STEPS, HELD_AT, CUT = 12, 7, 3


@contextmanager
def suspended(*processes: psutil.Process) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            if process.is_running():
                process.resume()


def refused(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(LeptonError) as caught:
        call()
    return caught.value.code


@dataclass
class ByHand:
    """A worker that the test is itself: it claims, writes what it likes, and sends no heartbeat."""

    pool: PoolRegistry
    assignment: Assignment
    attempt: AttemptRegistry
    journal: bytes = b""

    def log(self, *steps: int) -> None:
        """Points whose value tells that they are ours."""
        added = b"".join(encode_record({"s": step, "t": time.time_ns() // 1000, "k": {"loss": -1.0}}) for step in steps)
        self.attempt.append_metrics(0, "metrics-rank0.jsonl", len(self.journal), added)
        self.journal += added

    def checkpoint(self, step: int) -> None:
        state = json.dumps({"step": step}).encode()
        ArtifactWire(self.attempt.channel).put_inline([(digest_of(state), state)])
        entry = FileEntry(path="state.json", digest=digest_of(state), bytes=len(state))
        self.attempt.commit_checkpoint(step, 0, [entry], {}, {"metrics-rank0.jsonl": len(self.journal)})


def claimed_by_hand(running: RunningPlatform, run_id: str) -> ByHand:
    address = running.url("registry_grpc")
    pool = PoolRegistry(address, (running.home / "keys" / "trainer.token").read_text().strip())
    me = Announcement(new_id("wrk"), "by-hand", 1, [], accepts_scripts=True, max_ranks=1, gpus=0)
    pool.register(me)
    assignment = pool.claim(me.worker_id, me.incarnation, new_ulid())
    assert assignment is not None
    assert assignment.run_id == run_id
    return ByHand(pool, assignment, AttemptRegistry(address, assignment.attempt_id, assignment.attempt_token))


def test_every_write_of_a_stale_attempt_is_refused(rough: RunningPlatform, tmp_path: Path) -> None:
    client = rough.client()
    gate = tmp_path / "gate"
    wait_until(lambda: not client.runs.list(state=RunState.RUNNING), START_SECONDS, "an idle worker")
    with suspended(psutil.Process(rough.part("trainer")["pid"])):
        run = submit_script(client, tmp_path / "code", COUNTING, STEPS, HELD_AT, gate)
        mine = claimed_by_hand(rough, run.id)
        mine.log(*range(1, CUT + 1))
        mine.checkpoint(CUT)
        mine.log(CUT + 1, CUT + 2)
        wait_until(lambda: run.attempts()[0].state is AttemptState.LOST, LEASE_SECONDS, "the lease to run out")
    wait_until(lambda: len(run.attempts()) == 2, START_SECONDS, "the takeover")
    wait_checkpoint(client, run, CUT + 1)

    old = mine.attempt
    writes: dict[str, Callable[[], object]] = {
        "heartbeat": lambda: old.heartbeat(0.9),
        "metrics": lambda: mine.log(CUT + 3),
        "log": lambda: old.append_log("rank-0", 0, b"from the dead\n"),
        "checkpoint": lambda: mine.checkpoint(10_000),
        "finish": lambda: old.finish(Finished(Result.SUCCEEDED, metrics={"loss": -1.0})),
        "release": lambda: old.finish(Finished(Result.RELEASED)),
    }
    assert {name: refused(write) for name, write in writes.items()} == dict.fromkeys(writes, ErrorCode.STALE_ATTEMPT)

    # Nor does its token open the attempt that came after it.
    new = run.refresh().resource.current_attempt_id
    assert new != mine.assignment.attempt_id
    forged = AttemptRegistry(rough.url("registry_grpc"), new, mine.assignment.attempt_token)
    assert refused(lambda: forged.heartbeat(0.9)) is ErrorCode.PERMISSION_DENIED
    assert refused(lambda: forged.finish(Finished(Result.SUCCEEDED))) is ErrorCode.PERMISSION_DENIED

    gate.touch()
    attempts = assert_succeeded(rough, run)
    assert [attempt.state for attempt in attempts] == [AttemptState.LOST, AttemptState.SUCCEEDED]
    # What it wrote in time counts up to its checkpoint; not a point of what came after.
    assert curve(run) == counted(STEPS) | {("loss", step, 0): -1.0 for step in range(1, CUT + 1)}
    assert run.metrics.get("loss") != -1.0
    assert "from the dead" not in "".join(run.logs())


def test_the_same_finish_again_is_answered_and_another_one_is_stale(rough: RunningPlatform, tmp_path: Path) -> None:
    client = rough.client()
    wait_until(lambda: not client.runs.list(state=RunState.RUNNING), START_SECONDS, "an idle worker")
    with suspended(psutil.Process(rough.part("trainer")["pid"])):
        run = submit_script(client, tmp_path / "code", "print('not run')")
        mine = claimed_by_hand(rough, run.id)
        told = Finished(Result.SUCCEEDED, metrics={"loss": 0.5})
        mine.attempt.finish(told)
        mine.attempt.finish(told)
        assert refused(lambda: mine.attempt.finish(replace(told, metrics={"loss": 0.4}))) is ErrorCode.STALE_ATTEMPT
    assert run.refresh().metrics == {"loss": 0.5}
    assert len(run.attempts()) == 1


@contextmanager
def second_worker(running: RunningPlatform, folder: Path) -> Iterator[None]:
    """Beside the platform's own, with a folder and so an identity of its own."""
    environment = psutil.Process(running.part("trainer")["pid"]).environ()
    ready = folder / "ready"
    mine = {"LEPTON_TRAINER_HOME": str(folder / "worker"), "LEPTON_TRAINER_READY_FILE": str(ready)}
    settings = {name: value for name, value in environment.items() if name.startswith("LEPTON_TRAINER_")}
    command = [sys.executable, "-P", "-m", "lepton_trainer.main"]
    server = ServerProcess(command, folder / "worker.log", ready.exists, settings | mine)
    try:
        yield
    finally:
        server.stop()


def test_a_frozen_worker_that_wakes_after_a_takeover_changes_nothing(
    rough_sqlite: RunningPlatform, undisturbed: Curve, tmp_path: Path
) -> None:
    """The whole tree stands still, as on a suspended machine: neither supervisor nor guards can fence it."""
    client = rough_sqlite.client()
    run = client.jobs.submit(images_job(), progress=False)
    wait_checkpoint(client, run)
    first = run.refresh().resource.current_attempt_id
    frozen = tree_of(first)
    trainer = psutil.Process(rough_sqlite.part("trainer")["pid"])
    with suspended(trainer, *frozen):
        wait_until(lambda: run.attempts()[0].state is AttemptState.LOST, LEASE_SECONDS, "the lease to run out")
        with second_worker(rough_sqlite, tmp_path):
            wait_until(lambda: len(run.attempts()) == 2, START_SECONDS, "the takeover")
            wait_checkpoint_of(rough_sqlite, run.id, run.attempts()[1].id)
            for process in (trainer, *frozen):
                process.resume()
            wait_until(lambda: gone(frozen), 10, "the old tree to leave")
            attempts = assert_succeeded(rough_sqlite, run)
    assert [attempt.state for attempt in attempts] == [AttemptState.LOST, AttemptState.SUCCEEDED]
    assert attempts[0].worker_id != attempts[1].worker_id
    assert curve(run) == undisturbed
    assert_succeeded(rough_sqlite, submit_script(client, tmp_path / "code", "print('the old worker works again')"))


def wait_checkpoint_of(running: RunningPlatform, run_id: str, attempt_id: str) -> None:
    def found() -> bool:
        return any(each.attempt_id == attempt_id for each in running.client().runs.checkpoints(run_id))

    wait_until(found, START_SECONDS, f"a checkpoint of {attempt_id}")
