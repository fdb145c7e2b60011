"""`/metrics` of a worker, scraped."""

import urllib.request
from functools import partial
from pathlib import Path
from typing import cast

from lepton_core.metrics import Metrics
from lepton_trainer.files.private_dir import WorkerFolder
from lepton_trainer.reporting.registry import PoolRegistry
from lepton_trainer.settings import TrainerSettings
from lepton_trainer.worker.telemetry import samples
from lepton_trainer.worker.worker import Worker


def scraped(metrics: Metrics) -> list[str]:
    with metrics.serving("127.0.0.1:0") as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read(), "utf-8").splitlines()


def test_a_worker_shows_its_slot_and_how_attempts_ended(tmp_path: Path) -> None:
    settings = TrainerSettings(home=tmp_path, registry_address="127.0.0.1:1", pool_token_file=tmp_path / "token")
    # Nothing is asked of the registry.
    worker = Worker(settings, WorkerFolder(tmp_path), cast(PoolRegistry, None), {})
    metrics = Metrics()
    metrics.add(partial(samples, worker))
    assert 'lepton_worker_slots{state="idle"} 1.0' in scraped(metrics)
    worker.attempt_id = "att_1"
    worker.ended["succeeded"] += 2
    lines = scraped(metrics)
    assert 'lepton_worker_slots{state="busy"} 1.0' in lines
    assert 'lepton_worker_slots{state="idle"} 0.0' in lines
    assert 'lepton_worker_attempts_total{result="succeeded"} 2.0' in lines
