"""Prometheus metrics of the served models."""

from collections.abc import Iterator

from lepton_core.metrics import Sample
from lepton_inference.repository import Repository


def samples(repository: Repository) -> Iterator[Sample]:
    for project, deployment, model in repository.served():
        of = {"project": project, "deployment": deployment}
        queue = model.queue
        yield Sample("lepton_inference_queue_depth", "Requests that wait for the model.", queue.depth, of)
        taken, batches = float(queue.taken), float(queue.batches)
        yield Sample(
            "lepton_inference_batched_requests", "Requests that were sent to the model.", taken, of, counter=True
        )
        yield Sample("lepton_inference_batches", "Batches that were sent to the model.", batches, of, counter=True)
