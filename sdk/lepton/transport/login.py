"""Finds the platform's URL and the API key: in arguments, the environment, or the login file.

`lepton up` and `lepton login` write `<LEPTON_HOME>/login.json` (default `~/.lepton`), readable by its owner only.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lepton_core.errors import Cause, ErrorCode, LeptonError, invalid


@dataclass(frozen=True, slots=True)
class Login:
    """`api_key` is not in the repr, so that it does not get into logs and tracebacks."""

    url: str
    api_key: str = field(repr=False)


def home_folder(environ: Mapping[str, str] | None = None) -> Path:
    found = (os.environ if environ is None else environ).get("LEPTON_HOME")
    return Path(found).expanduser() if found else Path.home() / ".lepton"


def login_file(environ: Mapping[str, str] | None = None) -> Path:
    return home_folder(environ) / "login.json"


def find_login(url: str | None = None, api_key: str | None = None, environ: Mapping[str, str] | None = None) -> Login:
    """The login from the arguments, else `LEPTON_URL` and `LEPTON_API_KEY`, else the login file.

    Raises UNAUTHENTICATED with what to do if there is none. A key from the file is sent only to the file's URL, not to
    another one from the arguments or the environment.
    """
    environment = os.environ if environ is None else environ
    url = url or environment.get("LEPTON_URL")
    api_key = api_key or environment.get("LEPTON_API_KEY")
    if url and api_key:
        return checked(url, api_key)
    file = login_file(environment)
    saved = _read(file)
    if saved is None:
        raise LeptonError(
            ErrorCode.UNAUTHENTICATED,
            f"No login: {file} does not exist. Start a platform with `lepton up`, or log in to one with "
            "`lepton login URL`, or set LEPTON_URL and LEPTON_API_KEY.",
            cause=Cause("no_login", {"file": str(file)}, f"No login: {file} does not exist"),
        )
    # An empty variable is not a key. Without a key of its own, a URL other than the file's is refused.
    if not api_key and url and url.rstrip("/") != saved.url:
        raise LeptonError(
            ErrorCode.UNAUTHENTICATED,
            f"There is a login for {saved.url}, none for {url}. Use `lepton login {url}`, or set LEPTON_API_KEY.",
            cause=Cause("no_login", {"url": url}, f"There is a login for {saved.url}, none for {url}"),
        )
    return checked(url or saved.url, api_key or saved.api_key)


def checked(url: str, api_key: str) -> Login:
    """Raises INVALID for a malformed URL or key; the message does not contain the key."""
    try:
        address = urlsplit(url.strip())
        usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        usable = False
    if not usable or address.username or address.query or address.fragment:
        raise invalid("url", "not the address of a platform", url, "http://host:port or https://host")
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise invalid(
            "api_key", "not an API key", allowed="the text printed by `lepton keys create`, which begins with lpk_"
        )
    return Login(url.strip().rstrip("/"), key)


def save_login(login: Login, environ: Mapping[str, str] | None = None) -> Path:
    """Writes the login file atomically; only the owner can read it, from the moment it is made."""
    file = login_file(environ)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, json.dumps({"url": login.url, "api_key": login.api_key}, indent=2) + "\n")
    return file


def write_private(file: Path, text: str) -> None:
    """Replaces `file` atomically; only the owner can read it at any time."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _read(file: Path) -> Login | None:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return Login(str(saved["url"]).rstrip("/"), str(saved["api_key"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LeptonError(
            ErrorCode.INVALID, f"The login file {file} cannot be read ({type(error).__name__}); log in again."
        ) from None
