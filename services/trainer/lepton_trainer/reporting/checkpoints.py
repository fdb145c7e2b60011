"""Uploads checkpoints during the training, and commits each by a row in the registry."""

import logging
import threading
from collections.abc import Sequence

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.workspace_files import MAX_CHECKPOINT_FILES, CheckpointRecord
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.files.rank_files import FolderLimits, RankFiles
from lepton_trainer.files.transfers import Transfers
from lepton_trainer.processes.control_channel import Control
from lepton_trainer.reporting.progress import ControlFollower
from lepton_trainer.reporting.registry import AttemptRegistry
from lepton_trainer.reporting.shipper import JournalShipper
from lepton_trainer.retrying import AbandonedError, retry

_log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25


class CheckpointShipper:
    """A thread that commits the newest complete checkpoint. Older ones that still wait are skipped, except the best one
    so far."""

    def __init__(
        self,
        registry: AttemptRegistry,
        files: RankFiles,
        max_bytes: int,
        follower: ControlFollower,
        journals: JournalShipper,
        control: Control,
    ) -> None:
        self._registry = registry
        self._files = files
        self._follower = follower
        self._journals = journals
        self._control = control
        self._limits = FolderLimits(files=MAX_CHECKPOINT_FILES, bytes=max_bytes)
        self._transfers = Transfers(ArtifactWire(registry.channel), control)
        self._best_score: float | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = self._control.start_thread("checkpoints", self._run)

    def finish(self) -> None:
        """Commits the remaining checkpoints, after the programs have ended and all journals are sent."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            closing = self._closing.is_set()
            for record in worth_committing(self._follower.new_checkpoints(), self._best_score):
                try:
                    self._commit(record)
                except AbandonedError:
                    return
                except (LeptonError, FileNotFoundError) as error:
                    # The run continues: it has earlier checkpoints, and will make more.
                    _log.warning("the checkpoint of step %d is not committed: %s", record.step, error)
            if closing:
                return
            self._closing.wait(LOOK_SECONDS)

    def _commit(self, record: CheckpointRecord) -> None:
        files = self._files.list(record.dir, self._limits)
        if not files:
            raise FileNotFoundError(f"{record.dir} is empty or missing")
        entries = self._transfers.upload(self._files, record.dir, files)
        self._wait_shipped(record)
        commit = self._registry.commit_checkpoint
        retry(
            lambda: commit(record.step, record.epoch, entries, record.metrics, record.offsets, record.score),
            self._control,
            "committing a checkpoint",
        )
        self._best_score = max((each for each in (self._best_score, record.score) if each is not None), default=None)
        _log.info("checkpoint of step %d: %d files", record.step, len(entries))

    def _wait_shipped(self, record: CheckpointRecord) -> None:
        """Waits until the registry has all metric points before the checkpoint, since a later attempt resumes from
        it."""
        while True:
            # Read first: all that was written is shipped before the end is announced.
            closing = self._closing.is_set()
            committed = self._journals.committed
            if all(committed.get(file, 0) >= offset for file, offset in record.offsets.items()):
                return
            if closing:
                raise LeptonError(ErrorCode.INVALID, "its journals are shorter than recorded in it")
            if self._control.abandoned.wait(LOOK_SECONDS):
                raise AbandonedError


def worth_committing(recorded: Sequence[CheckpointRecord], best_score: float | None) -> list[CheckpointRecord]:
    """The newest waiting checkpoint, and before it the best one, if it is better than all committed ones."""
    scores = [record.score for record in recorded if record.score is not None]
    best = max(scores, default=None)
    if best is None or (best_score is not None and best <= best_score):
        return list(recorded[-1:])
    # Of equal scores the first is the best, as in the ranks and the registry.
    first = next(record for record in recorded if record.score == best)
    return [first] if first is recorded[-1] else [first, recorded[-1]]
