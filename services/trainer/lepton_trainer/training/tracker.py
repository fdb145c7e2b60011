"""Reports metric points and progress of a training, by journals in the workspace."""

import time
from collections.abc import Mapping

from lepton_core.journal import JournalWriter
from lepton_core.workspace_files import CheckpointRecord, ProgressRecord, Workspace

FLUSH_SECONDS = 0.5


class Tracker:
    """Only rank 0 writes; values must already be means over the ranks. Calls of other ranks do nothing."""

    def __init__(self, workspace: Workspace, rank: int) -> None:
        self._metrics = JournalWriter(workspace.metrics_journal(rank)) if rank == 0 else None
        self._control = JournalWriter(workspace.control_journal(rank)) if rank == 0 else None
        self._flushed_at = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if self._metrics:
            self._metrics.append({"s": step, "t": time.time_ns() // 1000, "k": dict(values)})

    def progress(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Writes progress at most twice a second, together with buffered metrics."""
        now = time.monotonic()
        if self._control and (now - self._flushed_at >= FLUSH_SECONDS or step == steps):
            self._control.append(ProgressRecord(epoch=epoch, epochs=epochs, step=step, steps=steps).model_dump())
            self.flush()
            self._flushed_at = now

    def checkpoint(self, step: int, epoch: int, folder: str, metrics: Mapping[str, float], score: float | None) -> None:
        """Records that a checkpoint is complete on disk, after the metrics before it."""
        if self._metrics and self._control:
            self._metrics.flush(sync=True)
            offsets = {self._metrics.path.name: self._metrics.offset}
            record = CheckpointRecord(
                step=step, epoch=epoch, dir=folder, metrics=dict(metrics), score=score, offsets=offsets
            )
            self._control.append(record.model_dump())
            self._control.flush(sync=True)

    def flush(self) -> None:
        for journal in (self._metrics, self._control):
            if journal:
                journal.flush()

    def close(self) -> None:
        for journal in (self._metrics, self._control):
            if journal:
                journal.close()
