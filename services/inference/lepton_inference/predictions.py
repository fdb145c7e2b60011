"""Prediction ids, and a size-limited log of a sample of the predictions."""

import asyncio
import logging
import random
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from lepton_core.ids import new_ulid

log = logging.getLogger(__name__)

MAX_PENDING = 10_000
# Decimal digits are valid digits of a ULID's base 32.
COUNT_CHARS = 6
MAX_COUNT = 10**COUNT_CHARS - 1


class PredictionIds:
    """`pred_<the revision's ULID>_<ULID>`: lineage finds the revision also of predictions that were not logged.

    Within a second, ULIDs count upwards from a random one, which the specification allows: a random number for each
    would take as long as a small model.
    """

    def __init__(self) -> None:
        self._head = ""
        self._second = -1
        self._count = 0

    def new(self, revision_id: str) -> str:
        second = int(time.time())
        if second != self._second or self._count >= MAX_COUNT:
            self._second, self._count = second, 0
            self._head = new_ulid()[:-COUNT_CHARS]
        self._count += 1
        return f"pred_{revision_id[4:]}_{self._head}{self._count:0{COUNT_CHARS}d}"


@dataclass(frozen=True, slots=True)
class Prediction:
    id: str
    at_us: int
    project: str
    deployment: str
    model: str
    model_version: int
    caller: str
    rows: int
    microseconds: int


class PredictionLog:
    """Appends to `predictions.jsonl`, and keeps one older file: at most `max_bytes` together.

    Predictions are dropped if the disk is too slow.
    """

    def __init__(self, folder: Path, *, sample: float, max_bytes: int) -> None:
        self._path = folder / "predictions.jsonl"
        self._sample = sample
        self._half = max_bytes // 2
        self._pending: deque[Prediction] = deque(maxlen=MAX_PENDING)
        self._arrived = asyncio.Event()

    def offer(self, prediction: Prediction) -> None:
        self._pending.append(prediction)
        self._arrived.set()

    def wanted(self) -> bool:
        """Whether this prediction is in the sample; called first, so that other predictions cost nothing."""
        return self._sample > 0 and random.random() < self._sample  # noqa: S311 - a sample, not a secret

    async def run(self) -> None:
        """Writes the offered predictions, until it is cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                try:
                    await asyncio.to_thread(self._write)
                except OSError as error:
                    log.warning("predictions could not be logged: %s", error)
        finally:
            self._write()

    def _write(self) -> None:
        lines = []
        while self._pending:
            lines.append(orjson.dumps(asdict(self._pending.popleft()), option=orjson.OPT_APPEND_NEWLINE))
        if not lines:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size > self._half:
            self._path.replace(self._path.with_suffix(".jsonl.1"))
        with self._path.open("ab") as stream:
            stream.write(b"".join(lines))


def now_us() -> int:
    return time.time_ns() // 1000
