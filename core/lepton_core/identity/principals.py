"""Who is calling: principals, roles, and the principal of the current request."""

import base64
import json
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from lepton_core.errors import ErrorCode, LeptonError

MAX_ACTING_CHARS = 1024


class Role(StrEnum):
    """In ascending order: each role may do all that the ones before it may."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"
    OPERATOR = "operator"

    @property
    def rank(self) -> int:
        return _RANKS[self]

    def includes(self, other: "Role") -> bool:
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}


class PrincipalKind(StrEnum):
    KEY = "key"
    SERVICE = "service"
    WORKER = "worker"
    ATTEMPT = "attempt"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    If a service acts for a principal, `kind` and `service` are those of the service, and `id`, `project` and `role`
    those of the principal. A service that acts for itself has no project and no role.
    """

    kind: PrincipalKind
    id: str
    project: str = ""
    role: Role | None = None
    service: str = ""
    attempt_id: str = ""
    worker_id: str = ""

    def has_role(self, role: Role) -> bool:
        return self.role is not None and self.role.includes(role)


_current: ContextVar[Principal | None] = ContextVar("lepton_principal", default=None)


def current_principal() -> Principal:
    """The caller of the current request. Raises UNAUTHENTICATED outside of a request and in a public method."""
    principal = _current.get()
    if principal is None:
        raise LeptonError(ErrorCode.UNAUTHENTICATED, "this call has no authenticated caller")
    return principal


def principal_or_none() -> Principal | None:
    return _current.get()


set_principal = _current.set
reset_principal = _current.reset


def require_attempt(attempt_id: str) -> Principal:
    """Checks that the caller has the token of this attempt; returns the caller."""
    principal = current_principal()
    if principal.kind is not PrincipalKind.ATTEMPT or principal.attempt_id != attempt_id:
        raise LeptonError(ErrorCode.PERMISSION_DENIED, "this token is for another attempt")
    return principal


def encode_acting(principal: Principal) -> str:
    """The value of `x-lepton-acting`: for whom a service calls."""
    role = principal.role.value if principal.role else ""
    text = json.dumps({"id": principal.id, "project": principal.project, "role": role}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


@lru_cache(maxsize=1024)
def with_acting(service: Principal, value: str) -> Principal:
    """The service's principal, acting for the one in the metadata, which is trusted only with a service token."""
    if service.kind is not PrincipalKind.SERVICE:
        raise LeptonError(ErrorCode.PERMISSION_DENIED, "only a service may act for somebody else")
    try:
        if len(value) > MAX_ACTING_CHARS:
            raise ValueError
        found = json.loads(base64.urlsafe_b64decode(value))
        id_, project, role = str(found["id"]), str(found["project"]), found["role"]
        return replace(service, id=id_, project=project, role=Role(role) if role else None)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LeptonError(ErrorCode.UNAUTHENTICATED, "the acting principal cannot be read") from None
