"""Shell completion with names from the platform. If it cannot be reached, nothing is completed and nothing printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from lepton.client import Client
from lepton_core.data_layout.checks import CHECKS

TIMEOUT_SECONDS = 1.5

Completer = Callable[[str], list[str]]


def _from(ask: Callable[[Client], Iterable[str]]) -> Completer:
    def complete(incomplete: str) -> list[str]:
        # An error must not be printed into the prompt.
        with suppress(Exception), Client(timeout_seconds=TIMEOUT_SECONDS, retry_seconds=0) as client:
            return [name for name in ask(client) if name.startswith(incomplete)]
        return []

    return complete


runs = _from(lambda client: (run.id for run in client.runs.list(limit=20)))
datasets = _from(lambda client: (dataset.name for dataset in client.datasets.list()))
models = _from(lambda client: (model.name for model in client.models.list()))
deployments = _from(lambda client: (deployment.name for deployment in client.deployments.list()))
workers = _from(lambda client: (worker.id for worker in client.workers.list() if worker.alive))
recipes = _from(lambda client: (recipe.name for recipe in client.recipes()))


def checks(incomplete: str) -> list[str]:
    return [name for name in CHECKS if name.startswith(incomplete)]


model_versions = _from(
    lambda client: (
        f"{model.name}@{selector}"
        for model in client.models.list()
        for selector in ("latest", *(alias.name for alias in model.aliases))
    )
)
