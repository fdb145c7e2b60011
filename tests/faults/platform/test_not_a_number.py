"""A training that leaves the numbers: the run says so, is not tried again, and keeps its last good checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton.transport.transfer import pull_files, read_manifest
from lepton_core.api import RunState
from lepton_fixtures.jobs import images_job, wait_ended
from lepton_fixtures.platform import RunningPlatform

pytestmark = pytest.mark.timeout(240)


def test_a_diverging_run_fails_for_good_and_keeps_a_good_checkpoint(
    rough_sqlite: RunningPlatform, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    client = rough_sqlite.client()
    # The rate warms up to a value at which the decay alone multiplies every weight by a hundred in each step.
    job = images_job(learning_rate=10, weight_decay=10, checkpoint_every_steps=2)
    run = client.jobs.submit(job | {"retries": 2, "register": {"model": "diverged"}}, progress=False)
    assert wait_ended(rough_sqlite, run).state is RunState.FAILED
    assert "not a finite number" in run.reason
    assert "learning_rate" in run.reason, "it says what may help"
    assert len(run.attempts()) == 1
    assert run.resource.retries_spent == 0
    assert run.model_version is None

    last = client.runs.checkpoints(run.id)[-1]
    assert last.step > 0
    files = read_manifest(client._transport, last.manifest_digest)
    pull_files(client._transport, files, tmp_path / "checkpoint", title="checkpoint", progress=False)
    weights = load_file(tmp_path / "checkpoint" / "weights.safetensors")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
