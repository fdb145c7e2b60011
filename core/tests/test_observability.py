"""What a log line holds, and what it must never hold."""

import io
import logging
from collections.abc import Iterator

import pytest

from lepton_core.identity import attempt_token, new_api_key, new_service_token
from lepton_core.ids import new_id
from lepton_core.observability import configure_logging, redact
from lepton_core.request_context import begin_request


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    begin_request()


@pytest.mark.parametrize(
    "secret",
    [
        new_api_key(new_id("key")),
        new_service_token("gateway"),
        attempt_token(new_id("att"), b"secret"),
    ],
    ids=["key", "service", "attempt"],
)
def test_tokens_do_not_reach_the_log(secret: str) -> None:
    for line in (f"token={secret}", f"Authorization: Bearer {secret}", f"{{'authorization': 'Bearer {secret}'}}"):
        assert secret.rpartition("_")[2] not in redact(line)


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("redis://:hunter2@127.0.0.1:6379/0", "hunter2"),
        ("postgresql://user:hunter2@host/db", "hunter2"),
        ("GET http://s3/b/k?partNumber=1&X-Amz-Signature=abcdef012 HTTP/1.1", "abcdef012"),
        ("authorization: bearer eyJhbGciOi.x.y", "eyJhbGciOi"),
    ],
)
def test_other_credentials_do_not_either(line: str, secret: str) -> None:
    assert secret not in redact(line)


def test_what_is_no_credential_stays() -> None:
    line = "run_01M7YGYN4YA3XD50NJ0N7MKE64 on http://127.0.0.1:8080/v1/runs?limit=3 took 2 s"
    assert redact(line) == line


def test_plain_lines_name_service_and_request() -> None:
    stream = io.StringIO()
    configure_logging("registry", "warning", stream=stream)
    begin_request("r-2")
    logging.getLogger("lepton.y").info("not shown")
    logging.getLogger("lepton.y").warning("shown")
    assert stream.getvalue().endswith("WARNING registry lepton.y: shown [r-2]\n")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("sent", ["\x1b[2J", "\u202edlrow", "\x9b31m", "\ud800", "\u2028next"], ids=ascii)
def test_what_somebody_sent_cannot_change_how_a_line_reads(sent: str) -> None:
    stream = io.StringIO()
    configure_logging("gateway", stream=stream)
    logging.getLogger("lepton.z").warning("refused %s", f"{sent}\n2026-01-01T00:00:00Z WARNING forged")
    written = stream.getvalue()
    assert sent not in written
    assert "\ufffd" in written
    assert written.splitlines()[1].startswith("  2026")


def test_a_fault_keeps_its_traceback_without_credentials() -> None:
    stream = io.StringIO()
    configure_logging("gateway", stream=stream)
    key = new_api_key(new_id("key"))
    try:
        raise ValueError(f"bad key {key}")
    except ValueError:
        logging.getLogger("lepton.x").exception("failed")
    assert "ValueError: bad key lpk_" in stream.getvalue()
    assert key not in stream.getvalue()
