"""The client's verbs on a whole platform, from a job to a prediction and back along its lineage."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from lepton import Client, ErrorCode, LeptonError, Run, RunFailedError, RunState
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

from .conftest import JOB, NAME

SCRIPT = """
import lepton
for step in range(3):
    lepton.log({"loss": 1 / (step + 1)}, step=step)
print("été from the script")
"""


def test_a_run_tells_what_it_used_and_made(trained: Run) -> None:
    assert trained.state is RunState.SUCCEEDED
    assert trained.dataset == f"{NAME}@1"
    assert trained.metrics["accuracy"] > 0.5
    version = trained.model_version
    assert version is not None
    assert (version.model, version.run_id) == (NAME, trained.id)
    assert [attempt.state.value for attempt in trained.attempts()] == ["succeeded"]
    assert {point.key for point in trained.metric_points("loss")} == {"loss"}


def test_a_prediction_leads_back_to_data_code_and_environment(client: Client, trained: Run) -> None:
    prediction = client.predict(NAME, row={"width": 6, "height": 1})
    assert prediction.label in ("wide", "slim")
    assert prediction.probabilities is not None
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    found = client.lineage(prediction.prediction_id)
    kinds = {node.kind for node in found.nodes}
    assert kinds >= {"revision", "model_version", "run", "dataset_version", "code", "environment"}
    assert trained.id in {node.id for node in client.lineage(f"{NAME}@1", "both").nodes}


def test_many_rows_are_answered_in_their_order(client: Client, trained: Run) -> None:
    rows = [{"width": width, "height": 1} for width in (6, 0, 6)]
    found = client.predict_rows(NAME, rows)
    assert [each.label for each in found] == [client.predict(NAME, row=row).label for row in rows]
    assert {each.model_version for each in found} == {1}


def test_the_same_key_gives_the_same_run_and_another_body_a_conflict(client: Client, trained: Run) -> None:
    key = str(uuid.uuid4())
    first = client.jobs.submit(JOB, idempotency_key=key)
    assert client.jobs.submit(JOB, idempotency_key=key).id == first.id
    with pytest.raises(LeptonError) as raised:
        client.jobs.submit({**JOB, "name": "other"}, idempotency_key=key)
    assert raised.value.code is ErrorCode.CONFLICT
    first.cancel()
    wait_until(lambda: first.refresh().ended, 30, "the run to be cancelled")


def test_a_cancelled_run_is_told_by_wait(client: Client, table: Path) -> None:
    run = client.jobs.submit({**JOB, "train": {**JOB["train"], "epochs": 5000}})  # type: ignore[dict-item]
    run.cancel()
    with pytest.raises(RunFailedError) as raised:
        run.wait(60, progress=False)
    assert raised.value.run.state is RunState.CANCELLED
    assert raised.value.cause is not None
    assert raised.value.cause.code == "cancelled"
    assert run.id in {each.id for each in client.runs.list(state="cancelled")}


def test_a_script_takes_its_folder_along_and_its_log_comes_back(client: Client, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "job.yaml").write_text("name: mine\nscript: {folder: ., entry: train.py}\n")
    run = client.jobs.submit(tmp_path / "job.yaml", progress=False)
    followed = "".join(run.logs(follow=True))
    assert "été from the script" in followed
    assert run.wait(10, progress=False).state is RunState.SUCCEEDED
    assert "été from the script" in "".join(run.logs())
    assert [point.value for point in run.metric_points("loss")] == [1, 0.5, pytest.approx(1 / 3)]


def test_models_are_compared_downloaded_and_pushed_back(client: Client, trained: Run, tmp_path: Path) -> None:
    compared = client.models.compare(f"{NAME}@champion", f"{NAME}@1")
    assert compared["accuracy"][f"{NAME}@champion"] == compared["accuracy"][f"{NAME}@1"]
    client.models.download(f"{NAME}@champion", tmp_path / "package", progress=False)
    assert {"model.onnx", "signature.json"} <= {file.name for file in (tmp_path / "package").iterdir()}
    imported = client.models.push("imported", tmp_path / "package", progress=False)
    assert (imported.model, imported.version, imported.run_id) == ("imported", 1, "")


def test_a_checkpoint_is_fetched_whole(platform: RunningPlatform, client: Client, trained: Run, tmp_path: Path) -> None:
    best = trained.fetch_checkpoint(tmp_path / "best", progress=False)
    assert best.score == max(each.score for each in trained.checkpoints() if each.score is not None)
    assert {"weights.safetensors", "state.pt"} <= {file.name for file in (tmp_path / "best").iterdir()}
    platform.cli("run", "checkpoints", trained.id, "--get", str(best.step), "--to", str(tmp_path / "again"))
    for file in (tmp_path / "best").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_a_key_may_do_what_its_role_says_until_it_is_revoked(platform: RunningPlatform, client: Client) -> None:
    made = client.keys.create("reader", role="viewer", ttl_seconds=60)
    assert made.secret not in repr(made)
    with Client(platform.url("gateway"), made.secret, retry_seconds=0) as reader:
        assert reader.whoami().role == "viewer"
        with pytest.raises(LeptonError) as raised:
            reader.jobs.submit(JOB)
        assert raised.value.code is ErrorCode.PERMISSION_DENIED
        client.keys.revoke(made.key.id)
        with pytest.raises(LeptonError) as raised:
            reader.whoami()
        assert raised.value.code is ErrorCode.UNAUTHENTICATED


def test_a_deployment_goes_back_and_away(client: Client, trained: Run, tmp_path: Path) -> None:
    client.models.download(f"{NAME}@1", tmp_path / "package", progress=False)
    client.models.push("goes", tmp_path / "package", progress=False)
    card = json.loads((tmp_path / "package" / "card.json").read_text())
    (tmp_path / "package" / "card.json").write_text(json.dumps(card | {"note": "the second"}))
    client.models.push("goes", tmp_path / "package", progress=False)
    made = client.deployments.create("goes", "goes@1")
    assert made.last_good == made.desired
    client.deployments.create("goes", "goes@2")
    assert client.predict("goes", row={"width": 6}).model_version == 2
    client.deployments.rollback("goes")
    assert client.predict("goes", row={"width": 6}).model_version == 1
    assert len(client.deployments.revisions("goes")) == 3
    client.deployments.delete("goes")
    with pytest.raises(LeptonError) as raised:
        client.deployments.get("goes")
    assert raised.value.code is ErrorCode.NOT_FOUND
