"""The models that this replica serves: fetch by digest → verify → warm up → swap.

The old revision is served until the new one is warm, and further if the new one fails.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lepton_core.backoff import Backoff
from lepton_core.errors import ErrorCode, LeptonError
from lepton_inference.cache import FileCache
from lepton_inference.package import ServedModel
from lepton_inference.revisions import Revision, Target, TargetState
from lepton_inference.runtimes.discovery import runtime_for
from lepton_inference.set_aside import SetAside
from lepton_inference.snapshot import write_snapshot
from lepton_inference.trial import HarmfulModelError
from lepton_inference.warm_up import SIGNATURE_FILE

log = logging.getLogger(__name__)

# Failures that the same files would always cause. Others are tried again: a damaged artifact may be sent again.
_FINAL = frozenset({ErrorCode.INVALID, ErrorCode.UNSUPPORTED_MEDIA, ErrorCode.UNIMPLEMENTED, ErrorCode.TOO_LARGE})
_BACKOFF = Backoff(first_seconds=1.0, longest_seconds=30.0)

# Builds a model from its verified files, and warms it up.
Load = Callable[[Revision, dict[str, bytes]], Awaitable[ServedModel]]


class Report(Protocol):
    """Reports a revision to the registry: ready if `reason` is empty, else failed. Raises if the report fails."""

    def __call__(self, revision: Revision, reason: str, /) -> Awaitable[None]: ...


@dataclass(slots=True, eq=False)
class _Slot:
    target: Target
    served: ServedModel | None = None
    # By revision: why it is not served, and how often it was tried. Final failures are not tried again.
    failures: dict[str, LeptonError] = field(default_factory=dict)
    tries: int = 0
    work: asyncio.Task[None] | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    # Set when every revision of the first state has been tried.
    settled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class LoadLimits:
    model_bytes: int
    at_once: int
    # A limit for each project, so that its models cannot block those of others.
    at_once_per_project: int


class Repository:
    def __init__(self, cache: FileCache, load: Load, report: Report, snapshot: Path, limits: LoadLimits) -> None:
        self._cache = cache
        self._load = load
        self._report = report
        self._snapshot = snapshot
        self._max_model_bytes = limits.model_bytes
        self._slots: dict[tuple[str, str], _Slot] = {}
        self.set_aside = SetAside(snapshot.with_name("set-aside.json"))
        self._loading = asyncio.Semaphore(limits.at_once)
        self._loading_of: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(limits.at_once_per_project)
        )
        self._has_targets = asyncio.Event()

    def find(self, project: str, deployment: str) -> ServedModel | None:
        slot = self._slots.get((project, deployment))
        return slot.served if slot else None

    def served(self) -> list[tuple[str, str, ServedModel]]:
        """(project, deployment, model) of every deployment that serves a model."""
        found = [(project, name, slot.served) for (project, name), slot in list(self._slots.items())]
        return [(project, name, model) for project, name, model in found if model is not None]

    def status(self, project: str, deployment: str) -> str | None:
        """Why a deployment serves no model: "loading" or the reason of the failure; None if there is no deployment."""
        slot = self._slots.get((project, deployment))
        if slot is None:
            return None
        failure = next(reversed(slot.failures.values()), None)
        return failure.detail if failure else "loading"

    def index(self, project: str) -> list[tuple[str, ServedModel | None, str]]:
        """(deployment, its model or None, why there is none) for each deployment of a project, by name."""
        names = sorted(name for owner, name in self._slots if owner == project)
        return [(name, self.find(project, name), self.status(project, name) or "") for name in names]

    def ready(self) -> bool:
        """Whether every deployment that was known at the start is served or has failed."""
        return self._has_targets.is_set() and all(slot.settled.is_set() for slot in self._slots.values())

    async def settled(self) -> None:
        """Waits until `ready`."""
        await self._has_targets.wait()
        for slot in list(self._slots.values()):
            await slot.settled.wait()

    def apply(self, targets: Sequence[Target]) -> None:
        """Applies a full state: deployments that are not in it are no longer served."""
        wanted = {target.key: target for target in targets}
        for key in [key for key in self._slots if key not in wanted]:
            self._drop(self._slots.pop(key))
        for key, target in wanted.items():
            slot = self._slots.setdefault(key, _Slot(target))
            slot.target = target
            known = {revision.id for revision in target.revisions}
            slot.failures = {id_: failure for id_, failure in slot.failures.items() if id_ in known}
            slot.moved.set()
            if slot.work is None or slot.work.done():
                slot.work = asyncio.create_task(self._follow(slot))
        self._has_targets.set()

    async def close(self) -> None:
        tasks = [slot.work for slot in self._slots.values() if slot.work]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _drop(self, slot: _Slot) -> None:
        if slot.work:
            slot.work.cancel()
        slot.settled.set()

    async def _follow(self, slot: _Slot) -> None:
        """Loads the target of a slot, until the target no longer changes."""
        while True:
            slot.moved.clear()
            revision = _next(slot)
            if revision is not None:
                await self._bring(slot, revision)
                continue
            # Before the report, which may take long: the model can already answer.
            slot.settled.set()
            await self._confirm(slot)
            if not _may_heal(slot) and not slot.moved.is_set():
                return
            slot.tries += 1
            await _wait(slot.moved, _BACKOFF.pause(slot.tries))
            slot.failures = {id_: error for id_, error in slot.failures.items() if error.code in _FINAL}

    async def _bring(self, slot: _Slot, revision: Revision) -> None:
        try:
            if reason := self.set_aside.reason(revision.id):
                raise LeptonError(ErrorCode.INVALID, reason)
            async with self._loading_of[revision.project], self._loading:
                model = await self._prepare(revision)
        except HarmfulModelError as error:
            # A revision that was served before may have failed on a busy machine: it is tried again after a pause.
            if revision == slot.target.last_good:
                failure = LeptonError(ErrorCode.UNAVAILABLE, error.detail)
            else:
                failure = error
                await asyncio.to_thread(self.set_aside.add, revision.id, error.detail)
        except LeptonError as error:
            failure = error
        except Exception as error:
            # Any error of a runtime: one model must not stop the loading of others.
            log.exception("revision %s could not be loaded", revision.id)
            failure = LeptonError(ErrorCode.INTERNAL, f"it could not be loaded: {type(error).__name__}: {error}")
        else:
            slot.failures.pop(revision.id, None)
            # Before the first answer, so that the revision is also served after a restart without the registry.
            await self._remember()
            if revision in slot.target.revisions:
                slot.served = model
                slot.tries = 0
                log.info(
                    "serving %s of %s, %s version %s",
                    revision.id,
                    revision.deployment,
                    revision.model,
                    revision.version,
                )
            return
        log.warning("revision %s of %s does not serve: %s", revision.id, revision.deployment, failure.detail)
        slot.failures[revision.id] = failure

    async def _prepare(self, revision: Revision) -> ServedModel:
        files = {file.path: file for file in revision.files}
        contents: dict[str, bytes] = {}
        if SIGNATURE_FILE not in files:
            raise LeptonError(ErrorCode.INVALID, f"the package has no {SIGNATURE_FILE}")
        for name in (SIGNATURE_FILE, *runtime_for(files).files):
            file = files[name]
            if file.bytes > self._max_model_bytes:
                raise LeptonError(
                    ErrorCode.TOO_LARGE, f"{name} has {file.bytes} bytes; at most {self._max_model_bytes}"
                )
            contents[name] = await self._cache.read(revision.project, file)
        return await self._load(revision, contents)

    async def _confirm(self, slot: _Slot) -> None:
        """Reports the result of the desired revision, unless the state shows that the registry knows it.

        A failure is reported only while the revision is pending: another replica may be able to serve it.
        """
        desired, state = slot.target.desired, slot.target.state
        if desired is None or state is TargetState.READY:
            return
        failure = slot.failures.get(desired.id)
        if slot.served is not None and slot.served.revision.id == desired.id:
            reason = ""
        elif failure is not None and not failure.retryable and state is TargetState.PENDING:
            reason = failure.detail
        else:
            return
        try:
            await self._report(desired, reason)
        except LeptonError as error:
            log.warning("revision %s could not be reported to the registry: %s", desired.id, error.detail)

    async def _remember(self) -> None:
        targets = [slot.target for slot in self._slots.values()]
        self._cache.keep({file.digest for target in targets for each in target.revisions for file in each.files})
        try:
            await asyncio.to_thread(write_snapshot, self._snapshot, targets)
        except OSError as error:
            log.warning("the snapshot could not be written: %s", error)


def _next(slot: _Slot) -> Revision | None:
    """The next revision to load: the last good one first if nothing is served, then the desired one."""
    serving = slot.served.revision.id if slot.served else None
    candidates = [slot.target.desired] if serving else [slot.target.last_good, slot.target.desired]
    for revision in candidates:
        if revision and revision.id != serving and revision.id not in slot.failures:
            return revision
    return None


def _may_heal(slot: _Slot) -> bool:
    return any(failure.code not in _FINAL for failure in slot.failures.values())


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
