"""Principals, roles, tokens and the policy table."""

from lepton_core.identity.authenticators import (
    ACTING_KEY,
    WORKER_SERVICE,
    Authenticator,
    TokenAuthenticator,
    VerifyKey,
    identify,
)
from lepton_core.identity.policies import (
    POLICIES,
    PUBLIC,
    Policy,
    authorize_by,
    methods_without_policy,
)
from lepton_core.identity.principals import (
    Principal,
    PrincipalKind,
    Role,
    current_principal,
    encode_acting,
    principal_or_none,
    require_attempt,
    reset_principal,
    set_principal,
    with_acting,
)
from lepton_core.identity.tokens import (
    Token,
    attempt_token,
    new_api_key,
    new_service_token,
    parse_token,
    token_sha256,
)

__all__ = [
    "ACTING_KEY",
    "POLICIES",
    "PUBLIC",
    "WORKER_SERVICE",
    "Authenticator",
    "Policy",
    "Principal",
    "PrincipalKind",
    "Role",
    "Token",
    "TokenAuthenticator",
    "VerifyKey",
    "attempt_token",
    "authorize_by",
    "current_principal",
    "encode_acting",
    "identify",
    "methods_without_policy",
    "new_api_key",
    "new_service_token",
    "parse_token",
    "principal_or_none",
    "require_attempt",
    "reset_principal",
    "set_principal",
    "token_sha256",
    "with_acting",
]
