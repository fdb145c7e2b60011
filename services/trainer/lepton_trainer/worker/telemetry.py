"""Prometheus metrics of a worker."""

from collections.abc import Iterator

from lepton_core.metrics import Sample
from lepton_trainer.worker.worker import Worker


def samples(worker: Worker) -> Iterator[Sample]:
    # A worker runs one attempt at a time.
    busy = bool(worker.attempt_id)
    yield Sample("lepton_worker_slots", "Attempts at a time, by what the slot does.", int(busy), {"state": "busy"})
    idle = not busy and not worker.drain.is_set()
    yield Sample("lepton_worker_slots", "Attempts at a time, by what the slot does.", int(idle), {"state": "idle"})
    for result, count in list(worker.ended.items()):
        yield Sample("lepton_worker_attempts", "Ended attempts by result.", count, {"result": result}, counter=True)
