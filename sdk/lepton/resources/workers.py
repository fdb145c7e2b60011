"""The machines that run jobs."""

from __future__ import annotations

from lepton.resources.id_prefix import only_match
from lepton.transport.http import Transport, part
from lepton_core.api import ListWorkersResponse, Worker
from lepton_core.ids import is_id


class Workers:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def drain(self, worker_id: str) -> Worker:
        """Gives a worker no more work until it is restarted. Its current run goes back to the queue at a checkpoint.

        Returns at once; `current_attempt_id` is empty when the worker is idle. Needs a key of role operator.
        """
        return self._transport.send("POST", f"/v1/workers/{part(worker_id, 'worker_id')}/drain", Worker)

    def find_id(self, reference: str) -> str:
        """The id of a worker by its id or the beginning of one. Raises NOT_FOUND, or INVALID if there are several."""
        if is_id(reference, "wrk") or not reference.startswith("wrk_"):
            return reference
        return only_match("worker", reference, [worker.id for worker in self.list()])

    def list(self) -> list[Worker]:
        """All workers that ever announced themselves, in that order."""
        return self._transport.get("/v1/workers", ListWorkersResponse).workers
