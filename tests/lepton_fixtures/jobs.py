"""Jobs for a whole platform: small enough for a test, long enough to be disturbed; what "nothing was lost" means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_core.api import Attempt, AttemptState, RunState
from lepton_fixtures.attempt_trees import tree_of
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

if TYPE_CHECKING:
    from lepton import Client, Run

# Short leases, so that what has to expire does so within a test; long enough for a busy machine.
QUICK = {
    "LEPTON_REGISTRY_LEASE_SECONDS": "15",
    "LEPTON_TRAINER_HEARTBEAT_SECONDS": "0.5",
    "LEPTON_TRAINER_SELF_FENCE_SECONDS": "8",
    "LEPTON_TRAINER_POLL_SECONDS": "0.5",
}
START_SECONDS = 90
END_SECONDS = 150
# How fast it went is the one thing that a disturbance may change.
SPEED = "samples_per_second"

# (key, step, rank) → value
Curve = dict[tuple[str, int, int], float]

# `train.py STEPS [HELD_AT GATE]`: logs every step and checkpoints every fifth; goes on from where it is told. With a
# gate it waits at that step until the file is there.
COUNTING = """
import json, sys, time
from pathlib import Path
import lepton
from lepton.runtime import progress
steps = int(sys.argv[1])
held_at, gate = (int(sys.argv[2]), Path(sys.argv[3])) if len(sys.argv) > 2 else (0, None)
step = lepton.resume_step()
if step:
    assert json.loads((lepton.resume_dir() / "state.json").read_text()) == {"step": step}
print("begins at", step, flush=True)
while step < steps:
    while step == held_at and gate and not gate.exists():
        time.sleep(0.02)
    step += 1
    lepton.log(step=step, loss=1 / step)
    progress(step, steps)
    if step % 5 == 0:
        lepton.checkpoint({"step": step}, step=step)
print("is done", flush=True)
"""


def push_images(client: Client, folder: Path, first: int = 0) -> None:
    """400 handwritten digits, from the `first` on, as the next version of the dataset `images`."""
    import numpy as np
    from sklearn.datasets import load_digits

    folder.mkdir()
    digits = load_digits()
    chosen = slice(first, first + 400)
    pixels = (digits.images[chosen] * (255 / 16)).round().astype(np.uint8)
    np.savez(folder / "digits.npz", images=pixels, labels=digits.target[chosen])
    client.datasets.push("images", folder, progress=False)


def images_job(**train: object) -> dict[str, Any]:
    """A CNN on two ranks: 40 epochs of 10 steps of some milliseconds, each with a checkpoint."""
    settings = {"epochs": 40, "batch_size": 32, "learning_rate": 2e-3, "seed": 7}
    return {
        "name": "images",
        "recipe": "vision.classifier",
        "data": "images",
        "train": settings | train,
        "resources": {"ranks": 2},
    }


def submit_script(client: Client, folder: Path, program: str, *args: object, **spec: Any) -> Run:
    """A script job of one file."""
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(program)
    script = {"folder": str(folder), "entry": "train.py", "args": [str(each) for each in args]}
    return client.jobs.submit({"name": "script", "script": script, **spec}, progress=False)


def wait_checkpoint(client: Client, run: Run, at_least: int = 1) -> None:
    """Until a checkpoint of that step or a later one is committed."""

    def steps() -> list[int]:
        assert not run.refresh().ended, f"it ended before it could be disturbed: {run} {run.reason}"
        return [checkpoint.step for checkpoint in client.runs.checkpoints(run.id)]

    wait_until(lambda: max(steps(), default=0) >= at_least, START_SECONDS, f"a checkpoint of {run.id}")


def wait_ended(platform: RunningPlatform, run: Run, seconds: float = END_SECONDS) -> Run:
    """Until it has ended, however."""
    try:
        wait_until(lambda: run.refresh().ended, seconds, f"{run.id} to end")
    except AssertionError as error:
        raise AssertionError(f"{error}: {run.attempts()}\n{platform.log('trainer')[-4000:]}") from None
    return run


def assert_succeeded(platform: RunningPlatform, run: Run) -> list[Attempt]:
    """Its attempts: exactly one succeeded, and no process of any of them is left."""
    wait_ended(platform, run)
    assert run.state is RunState.SUCCEEDED, f"{run.reason}\n{platform.log('trainer')[-4000:]}"
    attempts = run.attempts()
    assert [attempt.state for attempt in attempts].count(AttemptState.SUCCEEDED) == 1
    assert attempts[-1].state is AttemptState.SUCCEEDED
    # The registry knows of the end a moment before the worker has tidied up.
    wait_until(lambda: not any(tree_of(attempt.id) for attempt in attempts), 10, "the last process to leave")
    folder = platform.home / "worker" / "attempts"
    wait_until(lambda: not any((folder / attempt.id).exists() for attempt in attempts), 10, "its workspace to go")
    return attempts


def assert_resumed(client: Client, run: Run, attempts: list[Attempt]) -> None:
    """The last attempt went on from a checkpoint of an earlier one."""
    kept = {checkpoint.id: checkpoint for checkpoint in client.runs.checkpoints(run.id)}
    cut = kept[attempts[-1].resumed_from]
    assert cut.step > 0
    assert cut.attempt_id in {attempt.id for attempt in attempts[:-1]}


def curve(run: Run) -> Curve:
    """Its metric points; AssertionError if there are two of one (key, step, rank)."""
    points = [point for point in run.metric_points() if point.key != SPEED]
    found = {(point.key, point.step, point.rank): point.value for point in points}
    assert len(found) == len(points), "a metric point is there twice"
    return found


def counted(steps: int) -> Curve:
    """The curve of COUNTING."""
    return {("loss", step, 0): 1 / step for step in range(1, steps + 1)}
