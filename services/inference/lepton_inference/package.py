"""Builds a served model from the verified files of a package."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

import orjson

from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.package_check import check_signature
from lepton_core.model_format.signature import Signature
from lepton_inference.batching import BatchingQueue, BatchLimits, InlineRun
from lepton_inference.revisions import Revision
from lepton_inference.runtimes.discovery import runtime_for
from lepton_inference.tensors import InputTable
from lepton_inference.warm_up import SIGNATURE_FILE, Plan, as_model, has_open_batch

__all__ = ["Limits", "ServedModel", "load_model"]


MAX_ANSWER_LABELS_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """Shared by all models of a replica."""

    queue_capacity: int
    queue_bytes: int
    max_batch_rows: int
    inline_seconds: float
    inline_run: InlineRun = field(default_factory=InlineRun)


class ServedModel:
    """A loaded revision, with everything that requests need."""

    def __init__(self, revision: Revision, signature: Signature, queue: BatchingQueue, platform: str) -> None:
        self.revision = revision
        self.signature = signature
        self.queue = queue
        self.platform = platform
        self.version = str(revision.version)
        self.inputs = InputTable(signature.inputs)
        self.outputs: dict[str, str] = {tensor.name: tensor.datatype.value for tensor in signature.outputs}
        # As JSON text, since values of the protocol's parameters and properties cannot be lists. Empty without labels.
        self.labels = orjson.dumps(signature.labels).decode() if signature.labels else ""
        # The labels for answers: empty if there are very many; the metadata has them in any case.
        self.answer_labels = self.labels if len(self.labels) <= MAX_ANSWER_LABELS_CHARS else ""


def load_model(
    revision: Revision, files: Mapping[str, bytes], plan: Plan, limits: Limits, executor: Executor
) -> ServedModel:
    """Blocks while it loads. `plan` is the result of the warm-up in a child process for the same files."""
    signature = check_signature(files[SIGNATURE_FILE])
    runtime = runtime_for(files)
    model = as_model(runtime.load(files, signature, plan.threads), Pipeline.of(signature))
    queue_limits = BatchLimits(
        capacity=limits.queue_capacity,
        capacity_bytes=limits.queue_bytes,
        rows=limits.max_batch_rows if has_open_batch(signature) else 1,
        inline_bytes=plan.inline_bytes,
        inline_seconds=limits.inline_seconds,
    )
    queue = BatchingQueue(model, queue_limits, executor, limits.inline_run, revision.id)
    return ServedModel(revision, signature, queue, runtime.platform)
