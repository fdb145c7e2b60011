"""The policy table: who may call each route and RPC of every service. A method without a row is refused.

HTTP rows are "<METHOD> <route template>", gRPC rows "/<package.Service>/<Method>".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity.principals import Principal, PrincipalKind, Role
from lepton_core.identity.tokens import refused


@dataclass(frozen=True, slots=True)
class Policy:
    """`audience` holds "key", "worker", "attempt" and names of services. `role` is the lowest role of a key, or of the
    principal that a service acts for. Workers and attempts have no role: servicers check that the attempt is theirs."""

    audience: frozenset[str]
    role: Role | None = None
    public: bool = False

    def permits(self, principal: Principal) -> bool:
        kind = principal.kind
        if (principal.service if kind is PrincipalKind.SERVICE else kind.value) not in self.audience:
            return False
        if self.role is None or kind is PrincipalKind.WORKER or kind is PrincipalKind.ATTEMPT:
            return True
        return principal.has_role(self.role)


PUBLIC = Policy(frozenset(), public=True)


def _rows(audience: str, role: Role | None, methods: str) -> dict[str, Policy]:
    policy = Policy(frozenset(audience.split()), role)
    return {line.strip(): policy for line in methods.strip().splitlines()}


def _rpcs(service: str, audience: str, role: Role | None, methods: str) -> dict[str, Policy]:
    policy = Policy(frozenset(audience.split()), role)
    return {f"/{service}/{method}": policy for method in methods.split()}


def _public(methods: str) -> dict[str, Policy]:
    return {line.strip(): PUBLIC for line in methods.strip().splitlines()}


_GATEWAY_HTTP = {
    **_rows(
        "key",
        Role.VIEWER,
        """
        GET /v1/whoami
        GET /v1/runs
        GET /v1/runs/{run_id}
        GET /v1/runs/{run_id}/attempts
        GET /v1/runs/{run_id}/checkpoints
        GET /v1/runs/{run_id}/metrics
        GET /v1/runs/{run_id}/metrics/stream
        GET /v1/runs/{run_id}/logs
        GET /v1/runs/{run_id}/logs/stream
        GET /v1/runs/{run_id}/events/stream
        GET /v1/events
        GET /v1/events/stream
        GET /v1/recipes
        GET /v1/recipes/{name}
        GET /v1/workers
        GET /v1/datasets
        GET /v1/datasets/{name}
        GET /v1/datasets/{name}/versions
        GET /v1/dataset-versions/{reference}
        GET /v1/models
        GET /v1/models/{name}
        GET /v1/models/{name}/versions
        GET /v1/model-versions/{reference}
        GET /v1/deployments
        GET /v1/deployments/{name}
        GET /v1/deployments/{name}/revisions
        GET /v1/lineage/{id}
        GET /v1/manifests/{manifest_digest}
        GET /v1/uploads/{upload_id}
        POST /v1/artifacts:locate
        POST /v1/deployments/{name}:predict
        """,
    ),
    **_rows(
        "key",
        Role.EDITOR,
        """
        POST /v1/jobs
        POST /v1/runs/{run_id}:cancel
        POST /v1/runs/{run_id}:retry
        POST /v1/artifacts:missing
        POST /v1/artifacts:inline
        POST /v1/uploads
        POST /v1/uploads/{upload_id}:complete
        POST /v1/manifests
        POST /v1/datasets/{name}/versions
        POST /v1/code
        POST /v1/models/{name}/versions
        PUT /v1/models/{name}/aliases/{alias}
        DELETE /v1/models/{name}/aliases/{alias}
        POST /v1/deployments
        PATCH /v1/deployments/{name}
        POST /v1/deployments/{name}:rollback
        DELETE /v1/deployments/{name}
        """,
    ),
    **_rows("key", Role.ADMIN, "GET /v1/keys\nPOST /v1/keys\nDELETE /v1/keys/{key_id}"),
    **_rows("key", Role.OPERATOR, "GET /v1/projects\nPOST /v1/projects\nPOST /v1/workers/{worker_id}/drain"),
    # Public, since editors fetch the schema without a key.
    **_public("GET /v1/schemas/job.json"),
}

_INFERENCE_HTTP = {
    **_rows(
        "key gateway",
        Role.VIEWER,
        """
        GET /v2
        GET /v2/models/{name}
        GET /v2/models/{name}/versions/{version}
        GET /v2/models/{name}/ready
        GET /v2/models/{name}/versions/{version}/ready
        POST /v2/models/{name}/infer
        POST /v2/models/{name}/versions/{version}/infer
        POST /v2/repository/index
        GET /v2/models/stats
        GET /v2/models/{name}/stats
        GET /v2/models/{name}/versions/{version}/stats
        GET /v2/models/{name}/config
        GET /v2/models/{name}/versions/{version}/config
        POST /v2/repository/models/{name}/load
        POST /v2/repository/models/{name}/unload
        POST /v2/models/{name}/generate
        POST /v2/models/{name}/generate_stream
        POST /v2/models/{name}/versions/{version}/generate
        POST /v2/models/{name}/versions/{version}/generate_stream
        POST /v1/deployments/{name}:predict
        """,
    ),
    **_public("GET /v2/health/live\nGET /v2/health/ready"),
}

_EVERY_SERVER = _public(
    """
    GET /
    GET /healthz
    GET /readyz
    GET /openapi.json
    GET /docs
    GET /docs/assets/{file}
    /grpc.health.v1.Health/Check
    /grpc.health.v1.Health/List
    /grpc.health.v1.Health/Watch
    /grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo
    /grpc.reflection.v1.ServerReflection/ServerReflectionInfo
    """
)

# A service may also show its metrics without a key, at a loopback address: `metrics_listen`.
_METRICS_HTTP = _rows("key", Role.OPERATOR, "GET /metrics")

_JOBS, _OIP = "lepton.v1.JobService", "inference.GRPCInferenceService"

_DOORS_GRPC = {
    **_rpcs(_JOBS, "key", Role.EDITOR, "Submit Cancel"),
    **_rpcs(_JOBS, "key", Role.VIEWER, "Get List Watch"),
    **_public(f"/{_OIP}/ServerLive\n/{_OIP}/ServerReady"),
    **_rpcs(_OIP, "key gateway", Role.VIEWER, "ServerMetadata ModelReady ModelMetadata ModelInfer RepositoryIndex"),
}

_V1 = "lepton.v1."

_REGISTRY_GRPC = {
    **_rpcs(_V1 + "RunService", "gateway", Role.EDITOR, "SubmitRuns FindRunByKey CancelRun RetryRun"),
    **_rpcs(_V1 + "RunService", "gateway", Role.VIEWER, "GetRun ListRuns ListAttempts ListCheckpoints WatchRun"),
    **_rpcs(_V1 + "AttemptService", "worker", None, "Claim"),
    **_rpcs(_V1 + "AttemptService", "attempt", None, "Heartbeat CommitCheckpoint Finish"),
    **_rpcs(_V1 + "WorkerService", "worker", None, "RegisterWorker"),
    **_rpcs(_V1 + "WorkerService", "gateway", Role.VIEWER, "ListWorkers"),
    **_rpcs(_V1 + "WorkerService", "gateway local", Role.OPERATOR, "DrainWorker"),
    # The catalogue belongs to no project: the gateway reads it for itself.
    **_rpcs(_V1 + "RecipeService", "gateway", None, "ListRecipes GetRecipe"),
    **_rpcs(_V1 + "ProjectService", "gateway local", Role.OPERATOR, "CreateProject ListProjects"),
    **_rpcs(_V1 + "KeyService", "gateway local", Role.ADMIN, "CreateKey ListKeys RevokeKey"),
    **_rpcs(_V1 + "KeyService", "gateway inference", None, "VerifyKey"),
    **_rpcs(
        _V1 + "ArtifactService",
        "gateway attempt",
        Role.EDITOR,
        "FindMissing PutInline CreateUpload CompleteUpload GetUpload CommitManifest",
    ),
    **_rpcs(_V1 + "ArtifactService", "gateway inference attempt", Role.VIEWER, "Locate GetManifest ReportDamage"),
    **_rpcs(_V1 + "DatasetService", "gateway", Role.EDITOR, "CreateDatasetVersion"),
    **_rpcs(
        _V1 + "DatasetService",
        "gateway",
        Role.VIEWER,
        "GetDataset ListDatasets GetDatasetVersion ListDatasetVersions",
    ),
    **_rpcs(_V1 + "ModelService", "gateway", Role.EDITOR, "ImportModelVersion SetAlias DeleteAlias"),
    **_rpcs(
        _V1 + "ModelService",
        "gateway inference",
        Role.VIEWER,
        "GetModel ListModels GetModelVersion ListModelVersions",
    ),
    **_rpcs(
        _V1 + "DeploymentService",
        "gateway",
        Role.EDITOR,
        "CreateDeployment UpdateDeployment RollbackDeployment DeleteDeployment",
    ),
    **_rpcs(_V1 + "DeploymentService", "gateway", Role.VIEWER, "GetDeployment ListDeployments ListRevisions"),
    # Inference serves every project, so it watches without an acting principal.
    **_rpcs(_V1 + "DeploymentService", "inference", None, "WatchServing ReportRevision"),
    **_rpcs(_V1 + "LineageService", "gateway", Role.VIEWER, "GetLineage"),
    **_rpcs(_V1 + "EventService", "gateway", Role.VIEWER, "ListEvents WatchEvents"),
    **_rpcs(_V1 + "MetricService", "attempt", None, "AppendMetrics"),
    **_rpcs(_V1 + "MetricService", "gateway", Role.VIEWER, "QueryMetrics"),
    **_rpcs(_V1 + "LogService", "attempt", None, "AppendLog"),
    **_rpcs(_V1 + "LogService", "gateway", Role.VIEWER, "ReadLog"),
}

POLICIES: dict[str, Policy] = {
    **_EVERY_SERVER,
    **_METRICS_HTTP,
    **_GATEWAY_HTTP,
    **_INFERENCE_HTTP,
    **_DOORS_GRPC,
    **_REGISTRY_GRPC,
}


def methods_without_policy(methods: Iterable[str]) -> list[str]:
    """The routes and RPCs of a server that have no row, so that nobody may call them."""
    return sorted(method for method in methods if method not in POLICIES)


def authorize_by(policy: Policy | None, principal: Principal | None, method: str) -> None:
    """Raises UNAUTHENTICATED or PERMISSION_DENIED unless `policy`, the row of `method`, lets `principal` call it."""
    if policy is None:
        raise LeptonError(ErrorCode.PERMISSION_DENIED, f"{method} is open to nobody: it has no row in the policy table")
    if policy.public:
        return
    if principal is None:
        raise refused()
    if not policy.permits(principal):
        raise LeptonError(ErrorCode.PERMISSION_DENIED, _why(policy, principal, method))


def _why(policy: Policy, principal: Principal, method: str) -> str:
    if policy.role and principal.role and not principal.has_role(policy.role):
        return f"{method} needs the role {policy.role.value!r} or above; this key has {principal.role.value!r}"
    return f"{method} is not open to a caller of this kind"
