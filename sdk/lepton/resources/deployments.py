"""Deployments: models that are served."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lepton.transport.http import Transport, part
from lepton_core.api import (
    CreateDeploymentRequest,
    Deployment,
    ListDeploymentsResponse,
    ListRevisionsResponse,
    Revision,
    RollbackDeploymentRequest,
    UpdateDeploymentRequest,
)
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.validation import parse

POLL_SECONDS = 0.2


class Deployments:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, model: str, *, wait: bool = True, timeout_seconds: float = 60.0) -> Deployment:
        """Serves `model` as deployment `name`: `digits@champion` follows the alias, `digits@2` is always version 2.

        An existing deployment of that name changes to `model`. With `wait`, returns when the revision is served;
        raises FAILED_PRECONDITION with the reason if it cannot be.
        """
        try:
            wanted = parse(CreateDeploymentRequest, {"name": name, "model": model})
            deployment = self._transport.send("POST", "/v1/deployments", Deployment, wanted)
        except LeptonError as error:
            if error.code is not ErrorCode.ALREADY_EXISTS:
                raise
            change = parse(UpdateDeploymentRequest, {"model": model})
            deployment = self._transport.send("PATCH", self._path(name), Deployment, change)
        return self.wait(deployment, timeout_seconds) if wait else deployment

    def get(self, name: str) -> Deployment:
        """The deployment of that name, with its desired and its last good revision. Raises NOT_FOUND."""
        return self._transport.get(self._path(name), Deployment)

    def list(self) -> list[Deployment]:
        """All deployments of the project, by name."""
        return self._transport.get("/v1/deployments", ListDeploymentsResponse).deployments

    def revisions(self, name: str) -> Sequence[Revision]:
        """Newest first."""
        return self._transport.get(f"{self._path(name)}/revisions", ListRevisionsResponse).revisions

    def rollback(self, name: str, revision: int = 0, *, wait: bool = True, timeout_seconds: float = 60.0) -> Deployment:
        """Serves the version of an earlier revision again; 0: of the revision before the current one.

        The deployment is then pinned: a promote does not change it until `follow` is called.
        """
        body = parse(RollbackDeploymentRequest, {"revision": revision})
        # The server's 0 would let a repeated request go back by two revisions.
        deployment = self._transport.send(
            "POST", f"{self._path(name)}:rollback", Deployment, body, repeatable=revision > 0
        )
        return self.wait(deployment, timeout_seconds) if wait else deployment

    def follow(
        self, name: str, alias: str = "champion", *, wait: bool = True, timeout_seconds: float = 60.0
    ) -> Deployment:
        """Serves the version that `alias` of the deployment's model points to, also after the alias has moved.

        The deployment is no longer pinned. Raises INVALID for `latest` and numbers, which are versions.
        """
        if alias == "latest" or alias.isdecimal():
            message = "a version, which a deployment is pinned to"
            raise invalid("alias", message, alias, "an alias, such as champion, which `lepton model promote` moves")
        change = parse(UpdateDeploymentRequest, {"model": f"{self.get(name).model}@{alias}"})
        deployment = self._transport.send("PATCH", self._path(name), Deployment, change)
        return self.wait(deployment, timeout_seconds) if wait else deployment

    def delete(self, name: str) -> None:
        """Stops serving at once. The revisions stay in the lineage."""
        self._transport.request("DELETE", self._path(name))

    @staticmethod
    def _path(name: str) -> str:
        return f"/v1/deployments/{part(name, 'name')}"

    def wait(self, deployment: Deployment, timeout_seconds: float = 60.0) -> Deployment:
        """Waits until the revision that is desired now is ready or has failed."""
        wanted = deployment.desired
        assert wanted is not None
        deadline = time.monotonic() + timeout_seconds
        while True:
            found = next((each for each in self.revisions(deployment.name) if each.id == wanted.id), wanted)
            if found.state.value in ("ready", "retired"):
                return self.get(deployment.name)
            if found.state.value == "failed":
                raise LeptonError(
                    ErrorCode.FAILED_PRECONDITION,
                    f"revision {found.number} of {deployment.name} cannot be served: {found.reason}",
                )
            if time.monotonic() > deadline:
                raise LeptonError(
                    ErrorCode.TIMEOUT,
                    f"revision {found.number} of {deployment.name} is not ready after {timeout_seconds:g} s; "
                    "check with `lepton doctor` whether an inference service is running",
                )
            time.sleep(POLL_SECONDS)
