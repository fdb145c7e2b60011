"""Inference, as called by both transports."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.identity import Principal
from lepton_inference.package import ServedModel
from lepton_inference.predictions import Prediction, PredictionIds, PredictionLog, now_us
from lepton_inference.repository import Repository
from lepton_inference.requested_outputs import RequestedOutput, check_classification, classify
from lepton_inference.tensors import Array

# Sorting more values than this would block the event loop for too long.
INLINE_CLASSES = 10_000


@dataclass(slots=True)
class Answer:
    served: ServedModel
    prediction_id: str
    outputs: dict[str, Array]
    # Outputs that are returned as classes instead of the signature's tensor.
    classified: frozenset[str] = field(default=frozenset())

    def datatype(self, output: str) -> str:
        return "BYTES" if output in self.classified else self.served.outputs[output]


class Dataplane:
    def __init__(self, repository: Repository, predictions: PredictionLog) -> None:
        self.repository = repository
        self.ids = PredictionIds()
        self._predictions = predictions

    def find(self, caller: Principal, name: str, version: str = "") -> ServedModel:
        """The model that a deployment of the caller's project serves. Raises NOT_FOUND, or UNAVAILABLE if it has
        none."""
        served = self.repository.find(caller.project, name)
        if served is None:
            reason = self.repository.status(caller.project, name)
            if reason is None:
                raise LeptonError(ErrorCode.NOT_FOUND, f"there is no deployment {name[:128]!r} in this project")
            raise LeptonError(ErrorCode.UNAVAILABLE, f"deployment {name!r} serves nothing yet: {reason}")
        if version and version != served.version:
            detail = f"deployment {name!r} serves version {served.version}, not {version[:32]!r}"
            raise LeptonError(ErrorCode.NOT_FOUND, detail)
        return served

    def is_ready(self, caller: Principal, name: str, version: str = "") -> bool:
        """Raises NOT_FOUND for a deployment or version that does not exist."""
        try:
            self.find(caller, name, version)
        except LeptonError as error:
            if error.code is not ErrorCode.UNAVAILABLE:
                raise
            return False
        return True

    def index(self, caller: Principal, *, ready_only: bool) -> list[dict[str, str]]:
        """The project's deployments, as the protocol lists models: name, version, state, reason."""
        entries = []
        for name, served, reason in self.repository.index(caller.project):
            if served:
                entries.append({"name": name, "version": served.version, "state": "READY", "reason": ""})
            elif not ready_only:
                state = "LOADING" if reason == "loading" else "UNAVAILABLE"
                entries.append({"name": name, "version": "", "state": state, "reason": reason})
        return entries

    async def infer(
        self,
        caller: Principal,
        served: ServedModel,
        inputs: dict[str, Array],
        outputs: Sequence[RequestedOutput] = (),
        deadline: float | None = None,
    ) -> Answer:
        """`inputs` are the signature's raw tensors; `outputs` are the requested ones, all if empty."""
        for index, output in enumerate(outputs):
            if output.name not in served.outputs:
                allowed = ", ".join(served.outputs)[:500]
                raise invalid(("outputs", index, "name"), "the model has no such output", output.name, allowed)
            if output.classification is not None:
                check_classification(served.signature, index, output)
        log = self._predictions.wanted()
        started = time.perf_counter() if log else 0.0
        found = await served.queue.submit(inputs, deadline)
        id_ = self.ids.new(served.revision.id)
        if log:
            revision = served.revision
            rows = len(next(iter(inputs.values())))
            spent = int((time.perf_counter() - started) * 1e6)
            self._predictions.offer(
                Prediction(
                    id_,
                    now_us(),
                    revision.project,
                    revision.deployment,
                    revision.model,
                    revision.version,
                    caller.id,
                    rows,
                    spent,
                )
            )
        return await _answer(served, id_, found, outputs)


async def _answer(served: ServedModel, id_: str, found: dict[str, Array], outputs: Sequence[RequestedOutput]) -> Answer:
    if not outputs:
        return Answer(served, id_, found)
    chosen = {output.name: found[output.name] for output in outputs}
    counts = {output.name: output.classification for output in outputs if output.classification is not None}
    for name, count in counts.items():
        work = partial(classify, chosen[name], served.signature.labels, count)
        chosen[name] = work() if chosen[name].size <= INLINE_CLASSES else await asyncio.to_thread(work)
    return Answer(served, id_, chosen, frozenset(counts))


def deadline_in(seconds: float | None) -> float | None:
    """The deadline in the event loop's time."""
    return None if seconds is None else asyncio.get_running_loop().time() + seconds
