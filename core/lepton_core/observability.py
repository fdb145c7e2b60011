"""Logs: each record with its service and request; without credentials and control characters, whatever was logged."""

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import TextIO

from lepton_core.plain_text import plain
from lepton_core.request_context import request_id_or_none

# Called after each request of a server: method, outcome (an HTTP status, "ok" or an error code), seconds.
Observe = Callable[[str, str, float], None]

# Our own tokens, Authorization headers, passwords within URLs, and signatures of presigned URLs.
_CREDENTIALS = (
    (re.compile(r"\b(lp[ksa]_[0-9A-Za-z-]{1,64}_)[0-9a-f]{8,}"), r"\1***"),
    (re.compile(r"(?i)\b(bearer\s+)(?!lp[ksa]_)[^\s'\",]+"), r"\1***"),
    (re.compile(r"(://[^/\s:@]*:)[^@\s/]+@"), r"\1***@"),
    (re.compile(r"(?i)([?&]x-amz-(?:signature|credential|security-token)=)[^&\s'\"]+"), r"\1***"),
)


def redact(text: str) -> str:
    """`text` without credentials."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


def configure_logging(service: str, level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Sets up the root logger of a service's process; called once, in `main.py`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Plain(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # One line for each request or poll is too much at any level that people run with.
    for noisy in (
        "uvicorn.access",
        "httpx",
        "httpcore",
        "urllib3",
        "kombu",
        "celery.worker.strategy",
        "celery.app.trace",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


class _Plain(logging.Formatter):
    def __init__(self, service: str) -> None:
        line = f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {service} %(name)s: %(message)s"
        super().__init__(line, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        request_id = request_id_or_none()
        line = super().format(record)
        line = f"{line} [{request_id}]" if request_id and not record.exc_info else line
        # Further lines are indented: what somebody sent must not look like a record of its own.
        return redact(plain(line)).replace("\n", "\n  ")
