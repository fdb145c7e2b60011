"""What Prometheus is shown of a worker."""

from collections.abc import Iterator

from lepton_core.metrics import Sample
from lepton_trainer.worker.worker import Worker


def samples(worker: Worker) -> Iterator[Sample]:
    # One attempt at a time: more at once on a machine are more workers.
    busy = bool(worker.attempt_id)
    yield Sample("lepton_worker_slots", "Attempts at a time, by what the slot does.", int(busy), {"state": "busy"})
    idle = not busy and not worker.drain.is_set()
    yield Sample("lepton_worker_slots", "Attempts at a time, by what the slot does.", int(idle), {"state": "idle"})
    for result, count in list(worker.ended.items()):
        yield Sample("lepton_worker_attempts", "Attempts that ended, by how.", count, {"result": result}, counter=True)
