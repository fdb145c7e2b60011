"""Keys and tokens of a local platform: made at the first start, each in a file for its owner only, never printed."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from lepton.transport.login import Login, save_login
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity.tokens import new_api_key, new_service_token, token_sha256
from lepton_core.ids import new_id
from lepton_local.home import Home, write_private

# Names of service tokens. The trainer's is the pool token of workers, which allows only to announce and claim.
SERVICES = ("gateway", "inference", "trainer")
# Users of the queue server. `operator` has all permissions; no component uses it.
QUEUE_USERS = ("operator", "services", "workers", "producers")


@dataclass(frozen=True, repr=False)
class Keys:
    """Paths for components that read files, and values for the servers that are configured here."""

    operator_key_file: Path
    service_tokens_file: Path
    attempt_secret_file: Path
    token_files: dict[str, Path]
    store_access_key: str
    store_secret_key: str
    queue_passwords: dict[str, str]


def ensure_keys(home: Home) -> Keys:
    """Makes missing keys, and keeps existing ones."""
    token_files = {service: home.keys / f"{service}.token" for service in SERVICES}
    tokens = {service: _secret(path, new_service_token(service)) for service, path in token_files.items()}
    operator_key_file = home.keys / "operator.key"
    _secret(operator_key_file, new_api_key(new_id("key")))
    attempt_secret_file = home.keys / "attempt-tokens.secret"
    _secret(attempt_secret_file, _random())
    service_tokens_file = home.keys / "service-tokens.json"
    hashes = {service: token_sha256(token) for service, token in tokens.items()}
    write_private(service_tokens_file, json.dumps(hashes, indent=2) + "\n")
    return Keys(
        operator_key_file=operator_key_file,
        service_tokens_file=service_tokens_file,
        attempt_secret_file=attempt_secret_file,
        token_files=token_files,
        store_access_key=_secret(home.keys / "objects.access-key", secrets.token_hex(10)),
        store_secret_key=_secret(home.keys / "objects.secret-key", secrets.token_hex(20)),
        queue_passwords={user: _secret(home.keys / f"queue-{user}.password", _random()) for user in QUEUE_USERS},
    )


def write_login(home: Home, gateway_url: str) -> None:
    """Writes the login for SDK and CLI: the platform's URL and the API key."""
    key = (home.keys / "operator.key").read_text().strip()
    save_login(Login(gateway_url, key), {"LEPTON_HOME": str(home.folder)})


def _random() -> str:
    return secrets.token_hex(32)


def _secret(path: Path, new: str) -> str:
    """The content of the file; if there is none, writes `new` to it. Raises FAILED_PRECONDITION for a damaged file."""
    try:
        found = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        write_private(path, new + "\n")
        return new
    # Otherwise a component would fail to start, or refuse every call, without naming this file.
    if len(found) < len(new) or not found.isascii():
        advice = "restore it from a copy, or remove it: the next start makes a new one"
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"{path} is damaged; {advice}")
    return found
