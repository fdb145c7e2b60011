"""The one way a job gets in. HTTP, gRPC and the queue all end here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.identity import Role, current_principal
from lepton_core.jobs import JobSpec, canonical_digest, canonical_json, check_submittable, parse_job
from lepton_core.resources import Run
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.registry import Registry

CLIENT_NAMESPACE = "client"
MAX_KEY_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Submission:
    run: Run
    created: bool


class Submitter:
    def __init__(self, registry: Registry, catalogue: Catalogue, *, scripts_need: Role) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._scripts_need = scripts_need

    async def submit(self, body: Mapping[str, Any], key: str, *, namespace: str = CLIENT_NAMESPACE) -> Submission:
        """Makes a run of `body`, or answers the run that `key` made before.

        Raises LeptonError: INVALID naming the field, CONFLICT if the key was used for another body,
        PERMISSION_DENIED for a script without the right to run one.
        """
        check_key(key)
        digest = canonical_digest(body)
        try:
            spec, version = await self._validated(body)
        except LeptonError:
            # A retry may come after the catalogue has moved on: a known key answers before validation does.
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
        )
        return Submission(run, created)

    async def retry(self, run_id: str, key: str) -> Submission:
        """A new run of what `run_id` ran. Raises LeptonError, as `submit` does: a script may be run again only by who
        may submit one."""
        check_key(key)
        earlier = await self._registry.get_run(run_id)
        if not earlier.recipe:
            self._check_may_run_scripts()
        return Submission(*await self._registry.retry_run(run_id, key))

    async def _validated(self, body: Mapping[str, Any]) -> tuple[JobSpec, str]:
        spec = parse_job(body)
        check_submittable(spec)
        if not spec.recipe:
            self._check_may_run_scripts()
            return spec, ""
        recipe = await self._catalogue.resolve(spec.recipe)
        settings = recipe.validated(spec.train)
        return spec.model_copy(update={"train": settings}), recipe.version

    def _check_may_run_scripts(self) -> None:
        principal = current_principal()
        if not principal.has_role(self._scripts_need):
            raise LeptonError(
                ErrorCode.PERMISSION_DENIED,
                f"A script job runs as the worker's own user and needs a key of role {self._scripts_need.value!r}; "
                f"this key has {principal.role.value if principal.role else 'none'!r}.",
            )


def check_key(key: str) -> None:
    if not key or len(key) > MAX_KEY_CHARACTERS or not key.isprintable():
        raise invalid(
            "idempotency_key",
            "every submission needs a key made by the client; the same key gives the same run",
            key or None,
            f"1 to {MAX_KEY_CHARACTERS} printable characters, e.g. a UUID",
        )
