"""Sends journals and logs to the registry during the training, by offsets, so data may be sent twice.

Metrics are sent as whole records with checksums; logs in chunks of bytes, each of which becomes an object. Both are
read as untrusted files, which the attempt's processes may have manipulated.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from lepton_core.api.limits import MAX_METRIC_NAMES
from lepton_core.causes import EndCause
from lepton_core.errors import LeptonError
from lepton_core.journal import read_chunk
from lepton_core.workspace_files import LAUNCHER_LOG, metrics_journal, rank_log
from lepton_trainer.end_causes import end_cause
from lepton_trainer.files.rank_files import RankFiles, descriptor_path
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.reporting.registry import AppendedMetrics, AttemptRegistry
from lepton_trainer.retrying import AbandonedError, retry

_log = logging.getLogger(__name__)

ROUND_SECONDS = 0.25
# During the run, a log is sent after this many bytes or seconds: chunks are objects, and should be few.
LOG_CHUNK_BYTES = 128 * 1024
LOG_WAIT_SECONDS = 1.0


class JournalShipper:
    """The metrics journals of all ranks. `committed`: file → offset up to which the registry has it."""

    def __init__(self, registry: AttemptRegistry, files: RankFiles, ranks: int) -> None:
        self._registry = registry
        self._files = files
        self._journals = [metrics_journal(rank) for rank in range(ranks)]
        self._warned = False
        self.committed: Mapping[str, int] = {PurePosixPath(path).name: 0 for path in self._journals}

    def ship(self) -> bool:
        """Sends a chunk of each journal; returns whether there was anything to send."""
        moved = False
        for rank, path in enumerate(self._journals):
            name = PurePosixPath(path).name
            offset = self.committed[name]
            records = self._read(path, offset)
            if records:
                appended = self._registry.append_metrics(rank, name, offset, records)
                self.committed = {**self.committed, name: appended.committed_offset}
                self._warn_of_dropped(appended)
                moved = True
        return moved

    def _warn_of_dropped(self, appended: AppendedMetrics) -> None:
        if appended.dropped_name_count and not self._warned:
            self._warned = True
            names = ", ".join(appended.dropped_names)
            _log.warning(
                "%d metrics are not recorded, since a run has at most %d: %s%s",
                appended.dropped_name_count,
                MAX_METRIC_NAMES,
                names,
                ", …" if appended.dropped_name_count > len(appended.dropped_names) else "",
            )

    def _read(self, path: str, offset: int) -> bytes:
        try:
            with self._files.open(path) as descriptor:
                # In most rounds there is nothing new, so nothing is read.
                if os.fstat(descriptor).st_size <= offset:
                    return b""
                return read_chunk(descriptor_path(descriptor), offset, name=path)
        except FileNotFoundError:
            return b""


class LogShipper:
    """The logs of the ranks and of the launcher."""

    def __init__(self, registry: AttemptRegistry, files: RankFiles, ranks: int) -> None:
        self._registry = registry
        self._files = files
        logs = [LAUNCHER_LOG, *(rank_log(rank) for rank in range(ranks))]
        self._streams = {PurePosixPath(path).stem: path for path in logs}
        self._committed = dict.fromkeys(self._streams, 0)
        self._sent_at = dict.fromkeys(self._streams, 0.0)
        self._full = False

    def ship(self, *, all_of_it: bool) -> bool:
        """Sends a chunk of each stream with enough data or enough age; returns whether there was anything to send."""
        moved = False
        now = time.monotonic()
        for stream, path in self._streams.items():
            waited = all_of_it or now - self._sent_at[stream] >= LOG_WAIT_SECONDS
            data = b"" if self._full else self._read(path, self._committed[stream])
            if data and (waited or len(data) >= LOG_CHUNK_BYTES):
                offset, self._full = self._registry.append_log(stream, self._committed[stream], data)
                self._committed[stream] = offset
                self._sent_at[stream] = now
                moved = True
        return moved

    def _read(self, path: str, offset: int) -> bytes:
        try:
            with self._files.open_log(path) as descriptor:
                return os.pread(descriptor, LOG_CHUNK_BYTES, offset)
        except FileNotFoundError:
            return b""


class Shipping:
    """The thread that sends journals and logs during the training."""

    def __init__(self, journals: JournalShipper, logs: LogShipper, control: Control) -> None:
        self._journals = journals
        self._logs = logs
        self._control = control
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = self._control.start_thread("shipping", self._run)

    def finish(self) -> None:
        """Called after the programs have ended: returns when all is sent, or the attempt is lost."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                closing = self._closing.is_set()
                moved = retry(self._journals.ship, self._control, "shipping metrics")
                moved |= retry(partial(self._logs.ship, all_of_it=closing), self._control, "shipping logs")
                if closing and not moved:
                    return
                if not closing:
                    self._closing.wait(ROUND_SECONDS)
        except AbandonedError:
            return
        except LeptonError as error:
            # A damaged journal, or one that is not a regular file: later data of the run could not be trusted.
            _log.error("sending of journals and logs has stopped: %s", error.detail)
            cause = end_cause(error, EndCause.RESULT_INVALID)
            text = f"the run's journals or logs cannot be sent: {error.detail}"
            self._control.request(Stop.FAULT, replace(cause, message=text))
