"""Reads rank 0's control journal: progress and complete checkpoints."""

import os

from pydantic import ValidationError

from lepton_core.errors import LeptonError
from lepton_core.journal import parse_records, read_chunk
from lepton_core.workspace_files import CheckpointRecord, ProgressRecord, control_journal, parse_control
from lepton_trainer.files.rank_files import RankFiles, descriptor_path


class ControlFollower:
    """Each call continues after the last read record. Not for several threads, except `progress`."""

    def __init__(self, files: RankFiles) -> None:
        self._files = files
        self._path = control_journal(0)
        self._offset = 0
        self.progress = 0.0

    def new_checkpoints(self) -> list[CheckpointRecord]:
        """Complete checkpoints recorded since the last call, in order. Updates `progress`."""
        found: list[CheckpointRecord] = []
        while records := self._read():
            for record in records:
                try:
                    parsed = parse_control(record)
                except ValidationError:
                    continue
                if isinstance(parsed, CheckpointRecord):
                    found.append(parsed)
                else:
                    self.progress = _fraction(parsed)
        return found

    def _read(self) -> list[dict[str, object]]:
        try:
            with self._files.open(self._path) as descriptor:
                if os.fstat(descriptor).st_size <= self._offset:
                    return []
                chunk = read_chunk(descriptor_path(descriptor), self._offset)
        except (FileNotFoundError, LeptonError):
            # A damaged control journal only ends the progress reports; metrics and outcome have their own files.
            return []
        self._offset += len(chunk)
        return parse_records(chunk)


def _fraction(record: ProgressRecord) -> float:
    done, total = (record.step, record.steps) if record.steps > 0 else (record.epoch, record.epochs)
    return min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
