"""HTTP to the gateway: adds the key, repeats safe requests, and raises problem details as LeptonError."""

from __future__ import annotations

import ipaddress
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from lepton.transport.login import Login
from lepton_core.api.limits import MAX_PAGE_ENTRIES
from lepton_core.backoff import Backoff, Retrying
from lepton_core.errors import Cause, ErrorCode, LeptonError, invalid
from lepton_core.http.problems import error_from_problem

Model = TypeVar("Model", bound=BaseModel)

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
BACKOFF = Backoff()
# Failures before the server can have received the request.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Transport:
    """One connection pool. Most calls of the gateway may be repeated: submissions have an idempotency key."""

    def __init__(self, login: Login, *, timeout_seconds: float = 30.0, retry_seconds: float = 30.0) -> None:
        self.url = login.url
        self.retry_seconds = retry_seconds
        self._http = httpx.Client(
            base_url=login.url,
            headers={"authorization": f"Bearer {login.api_key}"},
            timeout=timeout_seconds,
            # A redirect could send the key to another server.
            follow_redirects=False,
            trust_env=not is_local(login.url),
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, model: type[Model], params: Mapping[str, Any] | None = None) -> Model:
        return self._read(self.request("GET", path, params=params), model)

    def pages(self, path: str, model: type[Model], params: Mapping[str, Any] | None = None) -> Iterator[Model]:
        """The entries of all pages of a list; each answer has the next page's `next_page_token`."""
        token = ""
        while True:
            page = self.get(path, model, {"page_size": MAX_PAGE_ENTRIES, **(params or {}), "page_token": token})
            yield page
            token = getattr(page, "next_page_token", "")
            if not token:
                return

    def send(
        self,
        method: str,
        path: str,
        model: type[Model],
        body: BaseModel | Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Model:
        """Sends `body` as JSON and parses the answer as `model`."""
        given = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        answer = self.request(method, path, json_body=given, headers=headers, repeatable=repeatable)
        return self._read(answer, model)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json_body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> httpx.Response:
        """Raises LeptonError with the gateway's code; UNAVAILABLE if it cannot be reached within `retry_seconds`.

        A request that is not `repeatable` is sent again only if the first try cannot have had an effect.
        """
        sent = dict(headers or {})
        if json_body is not None:
            content = _json(json_body)
            sent.setdefault("content-type", "application/json")
        retrying = Retrying(BACKOFF, seconds=self.retry_seconds)
        while True:
            try:
                answer = self._http.request(method, path, params=params, content=content, headers=sent)
            except httpx.HTTPError as error:
                failure = self._unreachable(error)
                # A broken connection does not show whether the server has handled the request.
                again = repeatable or isinstance(error, NEVER_SENT)
            else:
                if answer.status_code < 300:
                    return answer
                failure = problem(answer)
                # 429 is answered before the request is handled, so it may always be repeated.
                again = answer.status_code == 429 or (repeatable and answer.status_code in RETRIED_STATUSES)
            time.sleep(retrying.pause_after(failure, retryable=again))

    @contextmanager
    def stream(self, path: str, params: Mapping[str, Any], last_event_id: str) -> Iterator[httpx.Response]:
        """An open event stream. Reading from it raises httpx.HTTPError if it breaks."""
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last_event_id} if last_event_id else {})
        # Keep-alive comments come every 15 s, so after a minute without data the connection is dead.
        with self._http.stream(
            "GET", path, params=params, headers=headers, timeout=httpx.Timeout(30, read=60)
        ) as answer:
            if answer.status_code >= 300:
                answer.read()
                raise problem(answer)
            yield answer

    def _read(self, answer: httpx.Response, model: type[Model]) -> Model:
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            what = f"{answer.request.method} {answer.request.url.path}"
            raise LeptonError(
                ErrorCode.INTERNAL,
                f"{self.url} answered {what} with something else than Lepton does: {error.errors()[0]['msg']}. "
                "Is this the gateway's address? Are server and client of the same version?",
            ) from None

    def _unreachable(self, error: httpx.HTTPError) -> LeptonError:
        hint = "check with `lepton doctor` whether it is running"
        if isinstance(error, httpx.TimeoutException):
            cause = Cause("gateway_timeout", {"url": self.url}, f"{self.url} did not answer in time")
            return LeptonError(ErrorCode.TIMEOUT, f"{cause.message}; {hint}", cause=cause)
        message = f"{self.url} cannot be reached ({type(error).__name__})"
        cause = Cause("gateway_unreachable", {"url": self.url}, message)
        return LeptonError(ErrorCode.UNAVAILABLE, f"{message}; {hint}", cause=cause)


def _json(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        allowed = "text, finite numbers, true, false and null (a missing value), in lists and objects"
        detail = f"a value cannot be sent as JSON: {error}; allowed: {allowed}"
        raise LeptonError(ErrorCode.INVALID, detail) from None


def new_key() -> str:
    """A new idempotency key."""
    return str(uuid.uuid4())


def problem(answer: httpx.Response) -> LeptonError:
    """The LeptonError of an answer's problem details (RFC 9457)."""
    return error_from_problem(answer.status_code, answer.content, answer.headers.get("retry-after", ""))


def part(value: str, field: str) -> str:
    """`value` escaped as one segment of a path."""
    if value in ("", ".", ".."):
        raise invalid(field, "not a name or an id", value)
    return quote(value, safe="@:")


def is_local(url: str) -> bool:
    """Whether the URL is on this machine, which a proxy named in the environment cannot reach."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
