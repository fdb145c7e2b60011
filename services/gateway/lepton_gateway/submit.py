"""Submits jobs. HTTP, gRPC and the queues all call this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lepton_core.api import Run
from lepton_core.api.limits import MAX_IDEMPOTENCY_KEY_CHARS
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.identity import Role, current_principal
from lepton_core.jobs.spec import JobSpec, canonical_digest, canonical_json, check_submittable, parse_job
from lepton_core.validation import check_depth
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.registry import Registry

CLIENT_NAMESPACE = "client"
_HOW_TO_ISOLATE = (
    "An operator can start a worker that runs scripts as another user: LEPTON_TRAINER_RUN_AS=<user>, "
    "see docs/security.md."
)


@dataclass(frozen=True, slots=True)
class Submission:
    run: Run
    created: bool


class Submitter:
    """`beyond_loopback`: whether other machines can reach the gateway's HTTP or gRPC API."""

    def __init__(self, registry: Registry, catalogue: Catalogue, *, beyond_loopback: bool) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._beyond_loopback = beyond_loopback

    async def submit(
        self,
        body: Mapping[str, Any],
        key: str,
        *,
        namespace: str = CLIENT_NAMESPACE,
        expired: LeptonError | None = None,
    ) -> Submission:
        """Makes a run of `body`, or returns the run that `key` made before. With `expired`, no
        run is made: that error is raised unless `key` made a run before.

        Raises LeptonError: INVALID naming the field, CONFLICT if the key was used for another body,
        PERMISSION_DENIED or FAILED_PRECONDITION for a script that may not run here.
        """
        check_key(key)
        check_depth(body)
        digest = canonical_digest(body)
        try:
            if expired is not None:
                raise expired
            spec, version = await self._validated(body)
            isolated = not spec.recipe and await self._must_be_isolated()
        except LeptonError:
            # Before validation: a retry must get its run even if the catalogue has changed since.
            known = await self._registry.find_run_by_key(namespace, key, digest)
            if known is None:
                raise
            return Submission(known, created=False)
        run, created = await self._registry.submit_run(
            spec_json=canonical_json(spec.model_dump(mode="json")),
            key_namespace=namespace,
            idempotency_key=key,
            request_digest=digest,
            recipe=spec.recipe_name,
            recipe_version=version,
            isolated=isolated,
        )
        return Submission(run, created)

    async def retry(self, run_id: str, key: str) -> Submission:
        """Makes a new run with the spec of `run_id`. Raises LeptonError as `submit` does: only a caller that may submit
        a script may run it again."""
        check_key(key)
        earlier = await self._registry.get_run(run_id)
        isolated = not earlier.recipe and await self._must_be_isolated()
        return Submission(*await self._registry.retry_run(run_id, key, isolated=isolated))

    async def _validated(self, body: Mapping[str, Any]) -> tuple[JobSpec, str]:
        spec = parse_job(body)
        check_submittable(spec)
        if not spec.recipe:
            return spec, ""
        recipe = await self._catalogue.resolve(spec.recipe)
        settings = recipe.validated(spec.train)
        return spec.model_copy(update={"train": settings}), recipe.version

    async def _must_be_isolated(self) -> bool:
        """Whether the caller's script needs an operating-system user other than the worker's own.

        Raises PERMISSION_DENIED, or on a platform that listens beyond loopback FAILED_PRECONDITION, when no worker has
        such a user.
        """
        principal = current_principal()
        if principal.has_role(Role.OPERATOR) and not self._beyond_loopback:
            return False
        workers = await self._registry.list_workers()
        if any(worker.isolates_scripts and worker.alive and not worker.draining for worker in workers):
            return True
        if self._beyond_loopback:
            raise LeptonError(
                ErrorCode.FAILED_PRECONDITION,
                "This platform listens beyond loopback, so a script may run only as an operating-system user of its "
                f"own, and no worker has one now. {_HOW_TO_ISOLATE}",
            )
        raise LeptonError(
            ErrorCode.PERMISSION_DENIED,
            f"A script job runs as the worker's own user and needs a key of role {Role.OPERATOR.value!r}; this key has "
            f"{principal.role.value if principal.role else 'none'!r}. {_HOW_TO_ISOLATE}",
        )


def check_key(key: str) -> None:
    if not key or len(key) > MAX_IDEMPOTENCY_KEY_CHARS or not key.isprintable():
        raise invalid(
            "idempotency_key",
            "every submission needs a key made by the client; the same key gives the same run",
            key or None,
            f"1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters, e.g. a UUID",
        )
