"""The machines that train."""

from __future__ import annotations

from lepton.transport.http import Transport, part
from lepton_core.api import ListWorkersResponse, Worker


class Workers:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def drain(self, worker_id: str) -> Worker:
        """Gives it no more work, until it is started anew; what it runs goes back to the queue at a checkpoint.

        Returns at once: `current_attempt_id` is empty as soon as it is idle. Needs a key of role operator.
        """
        return self._transport.send("POST", f"/v1/workers/{part(worker_id, 'worker_id')}/drain", Worker)

    def list(self) -> list[Worker]:
        """All that ever came, in the order in which they announced themselves."""
        return self._transport.get("/v1/workers", ListWorkersResponse).workers
